"""The thin-plate spline: identity, the slow reference, its derivative, folds, resolutions."""

from __future__ import annotations

import cpvton
import numpy as np
import torch

from vtcli.core.models.tps import (
    POINTS,
    control_points,
    jacobian,
    sample,
    second_differences,
    spline_basis,
    tps_grid,
)

SIZE = (32, 24)


def _theta(seed: int, strength: float = 0.15) -> torch.Tensor:
    return torch.randn((2, 2 * POINTS), generator=torch.Generator().manual_seed(seed)) * strength


def test_zero_theta_is_the_identity() -> None:
    grid = tps_grid(torch.zeros(1, 2 * POINTS), SIZE)
    y, x = torch.meshgrid(torch.linspace(-1, 1, SIZE[0]), torch.linspace(-1, 1, SIZE[1]), indexing="ij")
    torch.testing.assert_close(grid[0], torch.stack([x, y], dim=2), atol=1e-5, rtol=0)
    image = torch.rand(1, 3, *SIZE)
    torch.testing.assert_close(sample(image, grid), image, atol=1e-4, rtol=0)
    torch.testing.assert_close(jacobian(grid), torch.ones(1, SIZE[0] - 1, SIZE[1] - 1), atol=1e-3, rtol=0)


def test_equals_the_spline_solved_point_by_point() -> None:
    theta = _theta(0)
    grid = tps_grid(theta, SIZE)
    for i in range(2):
        slow = cpvton.tps_grid_by_points(theta[i].double().numpy(), SIZE)
        np.testing.assert_allclose(grid[i].numpy(), slow, atol=1e-5)


def test_passes_through_its_control_points_x_slowest() -> None:
    theta = _theta(1)
    points = control_points()
    np.testing.assert_allclose(points[1] - points[0], [0, 0.5])  # y moves first
    values = torch.from_numpy(points) + theta[0].double().view(2, POINTS).T
    np.testing.assert_allclose(spline_basis(points) @ values.numpy(), values.numpy(), atol=1e-9)
    # 5×5 samples of the grid are the control points themselves; the last x-offset belongs to the lower right.
    at_points = tps_grid(theta[:1], (5, 5))[0].transpose(0, 1).reshape(POINTS, 2)
    torch.testing.assert_close(at_points.double(), values, atol=1e-5, rtol=0)


def test_affine_theta_bends_nothing() -> None:
    points = torch.from_numpy(control_points()).float()
    moved = points @ torch.tensor([[0.2, -0.1], [0.05, 0.3]]) + torch.tensor([0.1, -0.2])
    theta = moved.T.reshape(1, -1)
    assert second_differences(theta) < 1e-10
    assert second_differences(_theta(2)) > 1e-3
    determinant = 1.2 * 1.3 + 0.1 * 0.05
    torch.testing.assert_close(
        jacobian(tps_grid(theta, SIZE)),
        torch.full((1, SIZE[0] - 1, SIZE[1] - 1), determinant),
        atol=1e-3,
        rtol=0,
    )


def test_does_not_depend_on_the_resolution() -> None:
    theta = _theta(3)
    coarse, fine = tps_grid(theta, (9, 7)), tps_grid(theta, (33, 25))  # every fourth pixel's centre coincides
    torch.testing.assert_close(fine[:, ::4, ::4], coarse, atol=1e-5, rtol=0)


def test_jacobian_is_the_derivative_and_tells_folds() -> None:
    theta = _theta(4, 0.08)
    numeric = jacobian(tps_grid(theta[:1], (257, 193)))[0, ::8, ::8].numpy()
    # The determinant of the spline's own derivative at the same places, from much smaller steps.
    y, x = np.meshgrid(np.linspace(-1, 1, 257)[:-1:8], np.linspace(-1, 1, 193)[:-1:8], indexing="ij")
    values = control_points() + theta[0].double().view(2, POINTS).T.numpy()

    def spline(dx: float, dy: float) -> np.ndarray:
        return spline_basis(np.stack([x.ravel() + dx, y.ravel() + dy], axis=1)) @ values

    by_x, by_y = ((spline(*d) - spline(0, 0)) / 1e-5 for d in ((1e-5, 0), (0, 1e-5)))
    exact = (by_x[:, 0] * by_y[:, 1] - by_x[:, 1] * by_y[:, 0]).reshape(x.shape)
    assert exact.std() > 0.1
    assert np.abs(numeric - exact).max() < 0.1 and np.abs(numeric - exact).mean() < 0.01
    assert (jacobian(tps_grid(theta, SIZE)) > 0).all()

    folded = torch.zeros(1, 2, 5, 5)
    folded[0, 0, 1], folded[0, 0, 3] = 1.0, -1.0  # columns left and right of the middle change sides
    assert (jacobian(tps_grid(folded.reshape(1, -1), SIZE)) < 0).any()


def test_outside_of_the_picture() -> None:
    image = torch.full((1, 1, 8, 6), 0.25)
    far = torch.full((1, 2, 2, 2), 3.0)
    assert (sample(image, far) == 0.25).all()  # the border goes on
    assert (sample(image, far, outside=1.0) == 1.0).all()
    near = tps_grid(torch.zeros(1, 2 * POINTS), (8, 6))
    torch.testing.assert_close(sample(image, near, outside=1.0), image)


def test_gradients_reach_theta_after_inference_mode() -> None:
    with torch.inference_mode():
        tps_grid(torch.zeros(1, 2 * POINTS), (11, 13))  # fills the cache
    theta = torch.zeros(1, 2 * POINTS, requires_grad=True)
    tps_grid(theta, (11, 13))[..., 0].sum().backward()
    assert theta.grad is not None
    assert (theta.grad[0, :POINTS] != 0).any() and (theta.grad[0, POINTS:] == 0).all()
    assert tps_grid(torch.zeros(0, 2 * POINTS), (4, 3)).shape == (0, 4, 3, 2)
