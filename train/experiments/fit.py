"""Power laws: y = a · x^b, fitted as a line to logarithms by least squares."""
import math


class PowerLaw:
    """The law, the standard error of its exponent, and the share of the variance of log y that it explains."""

    def __init__(self, points):
        xs, ys = [math.log(x) for x, _ in points], [math.log(y) for _, y in points]
        count = len(points)
        mean_x, mean_y = sum(xs) / count, sum(ys) / count
        spread_x = sum((x - mean_x) ** 2 for x in xs)
        spread_y = sum((y - mean_y) ** 2 for y in ys)
        if count < 3 or spread_x == 0:
            raise ValueError("a power law with its error needs three points and two places")
        self.exponent = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys)) / spread_x
        self.factor = math.exp(mean_y - self.exponent * mean_x)
        missed = sum((y - mean_y - self.exponent * (x - mean_x)) ** 2 for x, y in zip(xs, ys))
        self.exponent_error = math.sqrt(missed / (count - 2) / spread_x)
        self.explained = 1 - missed / spread_y if spread_y > 0 else 1.0

    def at(self, x):
        return self.factor * x ** self.exponent

    def __str__(self):
        return f"{self.factor:.3g} · x^({self.exponent:.3f} ± {self.exponent_error:.3f}), R² = {self.explained:.3f}"

    def json(self):
        return {"factor": self.factor, "exponent": self.exponent, "exponent_error": self.exponent_error,
                "explained": self.explained}


def frontier(points):
    """The points (x, y) with a smaller y than every point with as small an x: what can be had for each price."""
    best = []
    for x, y in sorted(points):
        if not best or y < best[-1][1]:
            best.append((x, y))
    return best
