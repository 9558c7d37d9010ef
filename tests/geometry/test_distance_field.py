import torch

from sahmr.geometry.distance_field import sample_distance


def test_linear_fields_are_exact_and_borders_are_held() -> None:
    low, high = torch.tensor([-1.0, 0, 2]), torch.tensor([3.0, 1, 4])
    axes = [torch.linspace(float(a), float(b), n) for a, b, n in zip(low, high, (5, 4, 6), strict=True)]
    x, y, z = torch.meshgrid(*axes, indexing="ij")
    points = torch.rand(2, 7, 3, generator=torch.Generator().manual_seed(0)) * (high - low) + low
    expected = 2 * points[..., 0] - 3 * points[..., 1] + points[..., 2]
    torch.testing.assert_close(sample_distance(2 * x - 3 * y + z, low, high, points), expected)
    outside = torch.tensor([[-9.0, 0.5, 3]])
    torch.testing.assert_close(sample_distance(x, low, high, outside), torch.tensor([-1.0]))
