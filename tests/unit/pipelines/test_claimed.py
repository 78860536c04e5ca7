"""One job at a time in a folder that runs share."""

import pytest

from mindlong.parallel.comm import SerialComm
from mindlong.pipelines.claimed import claimed
from mindlong.utils.claim import Claim, Claimed


def test_the_second_is_refused_and_the_first_leaves_nothing(tmp_path):
    with claimed(tmp_path, SerialComm()):
        with pytest.raises(Exception, match="is worked in"), claimed(tmp_path, SerialComm()):
            pytest.fail("two in one folder")
        with pytest.raises(Claimed):
            Claim(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with claimed(tmp_path, SerialComm()):
        pass


def test_a_claim_goes_when_the_work_fails(tmp_path):
    with pytest.raises(ValueError, match="broken"), claimed(tmp_path, SerialComm()):
        raise ValueError("broken")
    Claim(tmp_path).release()
