"""Lines with the spread of their points, as SVG."""
import math
from xml.sax.saxutils import escape

PALETTE = ["#2f6fb0", "#c2572b", "#3c8d4f", "#8a5aa8", "#8a7a2b"]
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 420, 64, 190, 56, 52


class Axis:
    """From values to pixels."""

    def __init__(self, values, begin, end, logarithmic, from_zero=False):
        self._scale = math.log10 if logarithmic else float
        self._logarithmic = logarithmic
        self.low, self.high = (0.0 if from_zero else min(values)), max(values)
        if self.low == self.high:
            self.high = self.low + 1
        self._begin, self._end = begin, end

    def place(self, value):
        low, high = self._scale(self.low), self._scale(self.high)
        return self._begin + (self._scale(value) - low) / (high - low) * (self._end - self._begin)

    def ticks(self):
        if self._logarithmic:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            ticks = [digit * 10.0 ** power for power in powers for digit in (1, 2, 5)]
        else:
            raw = (self.high - self.low) / 5
            unit = 10.0 ** math.floor(math.log10(raw))
            step = unit * min((1, 2, 5, 10), key=lambda factor: abs(factor * unit - raw))
            ticks = [step * i for i in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        return [tick for tick in ticks if self.low <= tick <= self.high]


def text(x, y, words, anchor="start", size=13, colour="#20252b", more=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}"{more}>'
            f'{escape(words)}</text>')


def line(points, colour, width=2.0, more=""):
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"{more}/>'


def grid(x_axis, y_axis, x_label, y_label):
    items = []
    for tick in y_axis.ticks():
        y = y_axis.place(tick)
        items.append(line([(LEFT, y), (WIDTH - RIGHT, y)], "#e2e5e9", 1))
        items.append(text(LEFT - 8, y + 4, f"{tick:g}", "end", 12, "#6e7680"))
    for tick in x_axis.ticks():
        items.append(text(x_axis.place(tick), HEIGHT - BOTTOM + 18, f"{tick:g}", "middle", 12, "#6e7680"))
    items.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x_label, "middle", 13, "#6e7680"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    items.append(text(16, middle, y_label, "middle", 13, "#6e7680", f' transform="rotate(-90 16 {middle:.1f})"'))
    return items


def draw(path, title, x_label, y_label, series, log_x=False, log_y=False):
    """Writes a chart of series: {name: [(x, mean, deviation)]}; a name that ends in " (fit)" is a dashed line."""
    points = [point for rows in series.values() for point in rows]
    heights = [mean + sign * (0 if log_y else deviation) for _, mean, deviation in points for sign in (1, -1)]
    x_axis = Axis([x for x, _, _ in points], LEFT, WIDTH - RIGHT, log_x)
    y_axis = Axis(heights, HEIGHT - BOTTOM, TOP, log_y, from_zero=not log_y)
    items = [text(LEFT, 28, title, size=16, more=' font-weight="bold"'), *grid(x_axis, y_axis, x_label, y_label)]
    for i, (name, rows) in enumerate(series.items()):
        colour = PALETTE[i % len(PALETTE)]
        fitted = name.endswith(" (fit)")
        places = [(x_axis.place(x), y_axis.place(mean)) for x, mean, _ in rows]
        items.append(line(places, colour, 1.5 if fitted else 2, ' stroke-dasharray="5 4"' if fitted else ""))
        for (x, y), (_, mean, deviation) in zip(places, rows):
            if fitted:
                continue
            items.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
            if deviation > 0 and mean > deviation:
                ends = [y_axis.place(min(max(mean + sign * deviation, y_axis.low), y_axis.high)) for sign in (1, -1)]
                items.append(line([(x, ends[0]), (x, ends[1])], colour, 1))
        y = TOP + 12 + 20 * i
        items.append(line([(WIDTH - RIGHT + 14, y - 4), (WIDTH - RIGHT + 32, y - 4)], colour))
        items.append(text(WIDTH - RIGHT + 38, y, name, size=12))
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
            'font-family="DejaVu Sans, Helvetica, Arial, sans-serif">')
    ground = '<rect width="100%" height="100%" fill="#ffffff"/>'
    path.write_text("\n".join([head, ground, *items, "</svg>\n"]), encoding="utf-8")
