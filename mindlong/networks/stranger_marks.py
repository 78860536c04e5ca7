"""Marks in the names of other programs' tensors, and what files with them are.

Each row: what such a file is, then regular expressions that are all found in the list of its names,
one a line (`^` and `$` are the ends of a name). The first row that fits rules. The rows are facts
about published files; sources are the state dicts of diffusers 0.42 and the original repositories.
"""

from __future__ import annotations

Row = tuple[str, ...]

_MERGE = ", an addition to a model: merge it into its base with the tool that made it"
_DIT = ", a diffusion transformer"
_CODER = ", an autoencoder of another kind"
_TEXT = ", a text encoder"

ADDITIONS: tuple[Row, ...] = (
    (
        "a LoRA file, an addition to a model: name the model with weights= and this with lora=FILE",
        r"lora_(up|down|A|B|mid|linear_layer|unet|te\d?)(\b|_)|\.lora\.(up|down)|_lora\.(up|down)|"
        r"lora_magnitude|\.(hada_w[12]_[ab]|lokr_w[12]|oft_blocks|oft_diag|dora_scale)\b",
    ),
    (
        "a SparseCtrl of AnimateDiff" + _MERGE,
        r"(^|\.)motion_modules\.",
        r"controlnet_cond_embedding",
    ),
    ("a motion module of AnimateDiff of another kind" + _MERGE, r"(^|\.)motion_modules\."),
    (
        "a ControlNet" + _MERGE,
        r"(^|\.)(control_model\.|controlnet_(cond_embedding|mid_block|down_blocks|blocks|x_embedder)\b|"
        r"zero_convs\.\d|input_hint_block\.\d|ctrl_to_base\b|control_blocks\.\d)",
    ),
    (
        "an IP-Adapter" + _MERGE,
        r"(^|\.)(ip_adapter\.\d|to_[kv]_ip\b)|^image_proj\.(proj|latents|layers)\b",
    ),
    (
        "a T2I-Adapter" + _MERGE,
        r"^adapter\.(body|conv_in)\b|^body\.\d+\.(in_conv|block1|resnets)\b",
    ),
    (
        "a textual inversion (an embedding of a word), not a network",
        r"^(string_to_param\b|emb_params$|<.*>$|clip_[lg]$)",
    ),
    ("a hypernetwork" + _MERGE, r"hypernet"),
)
MODELS: tuple[Row, ...] = (
    ("Wan VACE" + _DIT, r"(^|\.)vace_(blocks|patch_embedding)\b"),
    (
        "Wan (or a relative: SkyReels-V2, ChronoEdit)" + _DIT,
        r"(^|\.)(head\.modulation$|blocks\.\d+\.self_attn\.(norm_)?q\b|blocks\.\d+\.attn[12]\.norm_q\b)",
        r"(^|\.)(head\.(head|modulation)\b|text_embedding\.0\b|condition_embedder\.)",
    ),
    (
        "the autoencoder of Wan or Qwen-Image" + _CODER,
        r"(^|\.)((down|up)samples\.\d+\.residual\.\d+\.gamma|down_blocks\.\d+\.norm1\.gamma)$",
    ),
    (
        "HunyuanVideo (or a relative)" + _DIT,
        r"(^|\.)(txt_in\.individual_token_refiner|context_embedder\.token_refiner)\.",
    ),
    ("Chroma" + _DIT, r"(^|\.)distilled_guidance_layer\."),
    ("Flux 2" + _DIT, r"(^|\.)double_stream_modulation_img\."),
    (
        "Flux (or a relative)" + _DIT,
        r"(^|\.)(double_blocks\.\d+\.img_attn\.|single_transformer_blocks\.\d+\.proj_mlp\b)",
    ),
    ("Sana" + _DIT, r"(^|\.)(ff\.conv_inverted|mlp\.inverted_conv)\b"),
    ("LTX-2" + _DIT, r"(^|\.)(audio_scale_shift_table|audio_patchify_proj)\b"),
    (
        "LTX-Video" + _DIT,
        r"(^|\.)transformer_blocks\.\d+\.attn2\.(norm_q|norm_k|q_norm|k_norm)\b",
        r"(^|\.)(patchify_proj|proj_in|time_embed|adaln_single)\b",
        r"(^|\.)scale_shift_table$",
    ),
    (
        "the autoencoder of LTX-Video" + _CODER,
        r"(^|\.)(per_channel_statistics\.|latents_mean$|up_blocks\.\d+\.conv_in\.norm3\b)|"
        r"(^|\.)down_blocks\.\d+\.res_blocks\.",
    ),
    (
        "CogVideoX (5B, 2B or a relative)" + _DIT,
        r"(^|\.)mixins\.(final_layer|patch_embed|adaln_layer|pos_embed)\.|"
        r"(^|\.)transformer_blocks\.\d+\.norm1\.norm\b",
        r"(^|\.)(query_key_value|patch_embed\.(text_proj|proj)|mixins\.\w+)\b",
    ),
    ("the autoencoder of CogVideoX" + _CODER, r"\.conv_[yb]\.conv\b"),
    ("Mochi" + _DIT, r"(^|\.)(t5_y(proj|_embedder)|time_embed\.pooler\.to_(q|kv)|mod_x)\b"),
    ("Stable Diffusion 3" + _DIT, r"(^|\.)joint_blocks\.\d+\.x_block\."),
    (
        "Stable Diffusion 3" + _DIT,
        r"(^|\.)transformer_blocks\.\d+\.attn\.add_q_proj\b",
        r"(^|\.)pos_embed\.pos_embed$",
        r"(^|\.)time_text_embed\.text_embedder\.",
    ),
    (
        "AuraFlow" + _DIT,
        r"(^|\.)(double_layers\.\d+\.attn\.w1q|joint_transformer_blocks\.\d+\.attn)\b",
    ),
    (
        "Qwen-Image" + _DIT,
        r"(^|\.)transformer_blocks\.\d+\.(txt_mod|attn\.add_q_proj)\b",
        r"(^|\.)(txt_norm|transformer_blocks\.\d+\.txt_mod)\b",
    ),
    ("Open-Sora" + _DIT, r"(^|\.)spatial_blocks\.\d", r"(^|\.)temporal_blocks\.\d"),
    ("Open-Sora" + _DIT, r"(^|\.)blocks\.\d+\.attn_temp\.qkv\b"),
    ("Latte" + _DIT, r"(^|\.)temporal_transformer_blocks\.\d", r"(^|\.)(adaln_single|pos_embed)\."),
    ("Latte" + _DIT, r"(^|\.)temp_embed$", r"(^|\.)blocks\.\d+\.adaLN_modulation\b"),
    (
        "PixArt (or a relative)" + _DIT,
        r"(^|\.)(adaln_single\.emb\.(resolution|aspect_ratio)_embedder|y_embedder\.y_embedding|t_block\.1)\b",
    ),
    (
        "Allegro" + _DIT,
        r"(^|\.)adaln_single\.emb\.",
        r"(^|\.)caption_projection\.",
        r"attn2\.to_q\b",
    ),
    ("Lumina or Z-Image" + _DIT, r"(^|\.)(cap_embedder\.\d|time_caption_embed\.)"),
    (
        "Cosmos" + _DIT,
        r"(^|\.)(learnable_pos_embed\.pos_emb_t|extra_pos_embedder\.pos_emb_t|blocks\.block\d+\.blocks\.\d)",
    ),
    ("Hunyuan-DiT" + _DIT, r"(^|\.)(text_states_proj|mlp_t5|extra_embedder)\b"),
    (
        "Stable Cascade, an image model of another kind",
        r"(^|\.)(effnet_mapper|clip_txt_pooled_mapper)\b",
    ),
    (
        "a DiT" + _DIT,
        r"(^|\.)(x_embedder\.proj\b|pos_embed\b)",
        r"(^|\.)(y_embedder\.embedding_table|final_layer\.adaLN_modulation\.\d|proj_out_2)\b",
    ),
    (
        "a diffusion transformer, not a UNet",
        r"adaLN_modulation|(^|\.)scale_shift_table$|(^|\.)adaln_single\.|(^|\.)double_blocks\.\d|"
        r"(^|\.)transformer_blocks\.\d+\.(norm1\.linear(_1)?|attn\.norm_added\w*|adaln\w*)\b|"
        r"(^|\.)single_transformer_blocks\.\d",
    ),
    (
        "the autoencoder of Stable Video Diffusion" + _CODER,
        r"(^|\.)decoder\.time_conv_out\b|(^|\.)decoder\.(.*\.)?time_(mixer|stack)\.",
    ),
    (
        "the autoencoder of HunyuanVideo" + _CODER,
        r"(^|\.)encoder\.down_blocks\.\d+\.resnets\.\d+\.conv1\.conv\b",
        r"(^|\.)quant_conv\b",
    ),
    (
        "an autoencoder of videos of another kind",
        r"(encoder|decoder)\.(.*\.)?(conv_[st]|conv\.conv|temp_conv_in|conv_in\.conv|block_in)\b",
    ),
    (
        "an autoencoder without quant_conv, as that of Flux and Stable Diffusion 3",
        r"(^|\.)decoder\.mid(_block\.attentions\.0\.to_q|\.attn_1\.q)\b",
    ),
    (
        "a tiny autoencoder (TAESD)",
        r"(^|\.)(taesd_)?(encoder|decoder)\.(layers\.\d+|\d+\.conv\.\d+)\.weight$",
    ),
    ("T5" + _TEXT, r"(^|\.)(encoder|decoder)\.block\.\d+\.layer\.\d+\.SelfAttention\.q\b"),
    ("umT5 as Wan stores it" + _TEXT, r"(^|\.)blocks\.\d+\.pos_embedding\.embedding\b"),
    ("BERT (or a relative)" + _TEXT, r"(^|\.)encoder\.layer\.\d+\.attention\.self\.query\b"),
    (
        "a language model",
        r"(^|\.)(layers\.\d+\.(self_attn\.[qkv]_proj|mlp\.gate_proj)|h\.\d+\.attn\.c_attn)\b",
        r"(^|\.)(embed_tokens|wte|lm_head)\b",
    ),
    (
        "the image encoder of CLIP, not a network that makes videos",
        r"(^|\.)(vision_model\.(encoder|embeddings)|visual\.(transformer|blocks|class_embedding))\b",
    ),
    (
        "a language model or another transformer",
        r"(^|\.)(layers|h|blocks)\.\d+\.(self_attn|attn|mlp|attention)\.",
    ),
)
INSTEAD: dict[str, tuple[Row, ...]] = {  # by part: a network whose names hold those of a known one
    "unet": (
        (
            "Stable Video Diffusion, a video UNet of another kind",
            r"(^|\.)(time_mixer\.mix_factor|temporal_transformer_blocks\.\d|time_stack\.)",
        ),
        (
            "Stable Diffusion XL (or a relative), another image UNet",
            r"^(add_embedding\.linear_1|label_emb\.0\.0)\b",
        ),
        ("a ControlNet" + _MERGE, r"(^|\.)controlnet_(cond_embedding|down_blocks|mid_block)\b"),
        (
            "a UNet with IP-Adapters in it, of another kind",
            r"(^|\.)to_[kv]_ip\b",
            r"\A(?![\s\S]*^init_attn\.)",  # DynamiCrafter has both
        ),
        (
            "I2VGen-XL, a video UNet of another kind",
            r"^(image_latents_(proj_in|context_embedding|temporal_encoder)|local_image_concat)\b",
        ),
        (
            "T2V-Turbo v2, a distilled model that is told of motion too",
            r"^(motion_cond_proj|combine_proj)\b",
        ),
        ("a UNet of depthwise convolutions, of another kind", r"\.depthwise\b"),
        ("GLIGEN, an image UNet of another kind", r"^position_net\.|(^|\.)fuser\."),
        ("MVDream, an image UNet of another kind", r"^camera_embed\."),
        ("an upscaler or unCLIP, an image UNet with classes", r"^(class_embedding|label_emb)\b"),
        ("Kandinsky or DeepFloyd IF, an image UNet of another kind", r"^encoder_hid_proj\b"),
    ),
    "motion": (
        ("a SparseCtrl of AnimateDiff" + _MERGE, r"(^|\.)controlnet_cond_embedding\b"),
        ("the image-to-video form of AnimateLCM", r"(^|\.)img_encoder\."),
        ("the motion modules of Hotshot-XL", r"pos_encoder\.positional_encoding$"),
        ("the motion modules of HelloMeme", r"\.attention_blocks\.\d+\.pos_embed$"),
        (
            "a motion LoRA, an addition to motion modules: it is given as lora=FILE",
            r"_lora\.(up|down)\.|\.lora_[AB]\.",
        ),
    ),
    "vae": (
        ("a VQGAN, an autoencoder of codes", r"^quantize\.embedding\b"),
        (
            "ToonCrafter, whose decoder reads both given images (the networks beside it are read, as "
            "dynamicrafter_interp, where another autoencoder is named with latent.vae or by --part)"
            + _CODER,
            r"^decoder\.attn_refinement\.",
        ),
        (
            "the autoencoder of Stable Video Diffusion" + _CODER,
            r"(^|\.)(time_mixer|time_stack|time_conv_out|temporal_res_block)\b",
        ),
        ("the autoencoder of Allegro" + _CODER, r"^(encoder|decoder)\.temp_conv_in\b"),
        ("the autoencoder of Flux 2" + _CODER, r"^bn\.running_mean$"),
        ("the asymmetric autoencoder of inpainting" + _CODER, r"^decoder\.condition_encoder\b"),
    ),
}
QUANTISED = (
    r"\.(quant_state\.\S*|absmax|quant_map|nested_absmax|SCB|qweight|qzeros|g_idx|wscales|weight_scale|"
    r"weight_scale_inv|scale_weight|weight_scb)$|^scaled_fp8$"
)
STATE = r"\b(exp_avg|exp_avg_sq|momentum_buffer)\b"
