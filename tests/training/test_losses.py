"""Every term of the objective against cases worked out by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elir_edge.training import losses
from elir_edge.training.losses import FlowSettings, flow_terms, jump, path_point, segment_end


def latent(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None, None, None].expand(-1, 2, 1, 3).clone()


def constant_field(value: float):
    return lambda state, t: torch.full_like(state, value)


def test_mmse_is_the_mean_of_squares_and_reaches_the_coarse_latent_only():
    coarse = latent(1.0, 3.0).requires_grad_()
    value = losses.mmse(coarse, latent(0.0, 1.0))
    assert value.item() == pytest.approx((1.0 + 4.0) / 2)
    value.backward()
    # d/dx mean (x - y)^2 = 2 (x - y) / 12 over 12 elements
    assert torch.allclose(coarse.grad, latent(2.0 / 12, 4.0 / 12))


@pytest.mark.parametrize(
    ("t", "segments", "expected"),
    [
        (0.0, 5, 0.2),  # i is at least 1
        (0.01, 5, 0.2),
        (0.2, 5, 0.2),  # on a segment end: its own end
        (0.2000001, 5, 0.4),
        (0.6, 5, 0.6),
        (0.95, 5, 1.0),
        (1.0, 5, 1.0),
        (0.3, 1, 1.0),
        (1 / 3, 3, 1 / 3),
        (0.5, 3, 2 / 3),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_segment_end(t, segments, expected, dtype):
    end = segment_end(torch.tensor([t], dtype=dtype), segments)
    assert torch.equal(end, torch.tensor([round(expected * segments)], dtype=dtype) / segments)


@given(st.floats(0.0, 1.0, width=32), st.integers(1, 64))
def test_segment_end_is_the_smallest_that_is_not_below(t, segments):
    end = float(segment_end(torch.tensor([t]), segments))
    ends = [float(torch.tensor(i, dtype=torch.float32) / segments) for i in range(1, segments + 1)]
    assert end == min(e for e in ends if e >= t)


def test_path_runs_from_the_start_to_the_end_but_for_sigma_min():
    start, end = latent(2.0, 2.0, 2.0), latent(4.0, 4.0, 4.0)
    point = path_point(start, end, torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64), 0.1)
    assert torch.allclose(point, latent(2.0, 0.55 * 2.0 + 2.0, 0.1 * 2.0 + 4.0))


def test_jump_is_one_straight_step():
    t, to = torch.tensor([0.25], dtype=torch.float64), torch.tensor([1.0], dtype=torch.float64)
    assert torch.allclose(jump(latent(1.0), latent(2.0), t, to), latent(2.5))


def test_consistency_within_a_segment_compares_both_jumps():
    # X_t = t, velocity 1 + t: f(t) = 0.1 + 0.4 * 1.1 = 0.54, f(r) = 0.3 + 0.2 * 1.3 = 0.56
    def field(state, t):
        return (1.0 + t)[:, None, None, None].expand_as(state)

    t = torch.tensor([0.1], dtype=torch.float64)
    terms = flow_terms(field, latent(0.0), latent(1.0), t, FlowSettings(segments=2, dt=0.2, sigma_min=0.0))
    assert terms.segment_end.item() == 0.5
    assert torch.allclose(terms.segment_state, latent(0.54))
    assert terms.consistency.item() == pytest.approx(0.02**2)
    assert terms.velocity.item() == pytest.approx(0.2**2)
    assert terms.loss(0.5).item() == pytest.approx(0.02**2 + 0.5 * 0.2**2)


@pytest.mark.parametrize("t", [0.3, 0.4])  # r on the segment end, r beyond it
def test_at_or_beyond_the_segment_end_the_path_is_the_target(t):
    # X_t = t, X_s = 0.5; velocity 3: f(t) = t + 3 (0.5 - t). A jump from r would give another number.
    time = torch.tensor([t], dtype=torch.float64)
    terms = flow_terms(constant_field(3.0), latent(0.0), latent(1.0), time, FlowSettings(2, 0.2, sigma_min=0.0))
    assert terms.consistency.item() == pytest.approx((t + 3.0 * (0.5 - t) - 0.5) ** 2)


def test_a_time_on_a_segment_end_makes_no_jump():
    time = torch.tensor([0.5], dtype=torch.float64)
    terms = flow_terms(constant_field(3.0), latent(0.0), latent(1.0), time, FlowSettings(2, 0.2, sigma_min=0.0))
    assert terms.segment_end.item() == 0.5
    assert terms.consistency.item() == pytest.approx(0.0, abs=1e-15)


def test_gradients_reach_the_field_through_the_earlier_time_alone():
    weight = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    seen = []

    def field(state, t):
        seen.append(torch.is_grad_enabled())
        return weight * torch.ones_like(state)

    time = torch.tensor([0.1], dtype=torch.float64)
    terms = flow_terms(field, latent(0.0), latent(1.0), time, FlowSettings(2, 0.2, sigma_min=0.0))
    assert seen == [True, False]
    terms.consistency.backward()
    # f(t) - f(r) = (0.1 + 0.4 w) - (0.3 + 0.2 w); with the second fixed, d/dw = 2 (f(t) - f(r)) 0.4
    assert weight.grad.item() == pytest.approx(2 * (0.9 - 0.7) * 0.4)
    weight.grad = None
    flow_terms(field, latent(0.0), latent(1.0), time, FlowSettings(2, 0.2)).velocity.backward()
    assert weight.grad.item() == 0.0


def test_rectified_flow_is_the_error_of_the_velocity_on_the_straight_path():
    # x_1 - x_0 = 1 and 4; x_t = 1.25 and 4; v = w x_t: errors 0.25 and 0 at w = 1
    weight = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    seen, start, end = [], latent(1.0, 3.0).requires_grad_(), latent(2.0, 7.0).requires_grad_()

    def field(state, t):
        seen.append(t)
        return weight * state

    t = torch.tensor([0.25, 0.25], dtype=torch.float64)
    value = losses.rectified_flow(field, start, end, t)
    assert value.item() == pytest.approx(0.25**2 / 2)
    value.backward()
    assert weight.grad.item() == pytest.approx(2 * 0.25 * 1.25 / 2)
    assert len(seen) == 1 and torch.equal(seen[0], t)
    assert start.grad is None and end.grad is None


@given(st.floats(0.0, 1.0))
def test_rectified_flow_of_the_path_s_own_velocity_is_zero_at_every_time(t):
    start, end, time = latent(-1.0), latent(2.0), torch.tensor([t], dtype=torch.float64)
    assert losses.rectified_flow(constant_field(3.0), start, end, time).item() == 0.0
    assert losses.rectified_flow(constant_field(1.0), start, end, time).item() == 4.0


def test_distortion_goes_straight_to_the_end_and_holds_the_segment_state():
    weight = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    state = latent(0.5).requires_grad_()
    terms = losses.FlowTerms(torch.tensor(0.0), torch.tensor(0.0), state, torch.tensor([0.25], dtype=torch.float64))
    value = losses.distortion(lambda z, t: weight * z, lambda z: 2.0 * z, latent(0.0), terms)
    # X_hat = 0.5 + 0.75 * 0.5 w = 0.875; decoded 1.75
    assert value.item() == pytest.approx(1.75**2)
    value.backward()
    assert weight.grad.item() == pytest.approx(2 * 1.75 * 2 * 0.75 * 0.5)
    # through the velocity's argument only: 2 y * 2 * 0.75 w / 6 elements
    assert torch.allclose(state.grad, torch.full_like(state, 2 * 1.75 * 2 * 0.75 / 6))


def test_distortion_at_the_last_segment_end_has_nothing_left_to_walk():
    terms = losses.FlowTerms(torch.tensor(0.0), torch.tensor(0.0), latent(0.5), torch.ones(1, dtype=torch.float64))
    assert losses.distortion(constant_field(9.0), lambda z: z, latent(0.5), terms).item() == 0.0


def test_reconstruction_adds_absolute_and_squared_error():
    assert losses.reconstruction(latent(0.5), latent(0.2)).item() == pytest.approx(0.3 + 0.09)
