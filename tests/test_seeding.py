import subprocess
import sys

import numpy as np
import torch
from browser import ROOT
from hypothesis import given
from hypothesis import strategies as st

from core.seeding import derive, numpy_generator, torch_generator

SEEDS = st.integers(0, 2**40)


@given(seed=SEEDS, purpose=st.lists(st.text() | st.integers()))
def test_a_derived_seed_fits_63_bits_and_repeats(seed: int, purpose: list[str | int]) -> None:
    derived = derive(seed, *purpose)
    assert 0 <= derived < 2**63
    assert derived == derive(seed, *purpose)


def test_a_derived_seed_is_the_same_in_another_process() -> None:
    script = "from core.seeding import derive; print(derive(0, 'noise', 17))"
    other = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(other.stdout) == derive(0, "noise", 17)


def test_stored_results_keep_their_seeds() -> None:
    assert derive(0, "noise", 17) == 6287155762481330922


def test_seed_and_purpose_both_decide() -> None:
    seeds = [derive(seed, purpose, index) for seed in range(5) for purpose in ("noise", "split") for index in range(50)]
    assert len(set(seeds)) == len(seeds)


@given(seed=SEEDS)
def test_draws_for_one_purpose_leave_another_alone(seed: int) -> None:
    alone = numpy_generator(seed, "split").permutation(20)
    numpy_generator(seed, "noise").random(1000)
    torch_generator(seed, "weights").seed()
    np.testing.assert_array_equal(numpy_generator(seed, "split").permutation(20), alone)


def test_generators_leave_the_global_streams_alone() -> None:
    before = torch.get_rng_state()
    drawn = torch.rand(5, generator=torch_generator(3, "weights"))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(drawn, torch.rand(5, generator=torch_generator(3, "weights")))
    assert not torch.equal(drawn, torch.rand(5, generator=torch_generator(4, "weights")))
