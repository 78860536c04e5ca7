"""The keys of each pipeline, one file each; `mindlong.config.pipelines` lists them."""
