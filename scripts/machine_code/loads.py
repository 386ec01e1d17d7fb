"""How often a warp waits for global memory: the longest chain of loads that come one after the other.

A warp issues its instructions in order, and stops at the first that names a register which a load has not filled yet. So with a
clock that only loads move, a load issued at trip t has arrived at trip t + 1, and the instruction that needs it brings the clock
there: loads that are issued together make one trip, a load behind another's first use one more. Copies to shared memory
(LDGSTS) are waited for by groups. Where ways meet, the later clock counts: the figures are the most of any way. What is not
seen: one thread's waiting for another's (barriers, stores), and of functions called what they do inside.
"""
import collections
import dataclasses
import re

from machine_code import loops

_REGISTER = re.compile(r"\bR(\d+)(\.64)?")
_LOADS = {"LDG", "LDGSTS"}
_ROUNDS = 6  # iterations of a loop over which its trips are averaged: several share one where copies have stages


@dataclasses.dataclass
class Trips:
    """`kernel`: from its first instruction to its last, each loop once. `loop`: one iteration of the loop with the most loads, when
    what earlier iterations have loaded is on its way; None where no loop loads. `cover`: the fewest instructions that such an
    iteration issues between a load and the wait for it."""
    kernel: int
    loop: float | None
    cover: int | None


class _State:
    """`ready`: register to (the trip at which it arrives, instructions since it was asked for)."""
    def __init__(self):
        self.trip, self.ready, self.open, self.groups = 0, {}, (0, 0), []

    def copy(self):
        other = _State()
        other.trip, other.ready, other.open, other.groups = self.trip, dict(self.ready), self.open, list(self.groups)
        return other

    def merge(self, other):
        def later(a, b):
            return max(a[0], b[0]), min(a[1], b[1])
        self.trip = max(self.trip, other.trip)
        for register, load in other.ready.items():
            self.ready[register] = later(self.ready.get(register, load), load)
        self.open = later(self.open, other.open)
        lengths = max(len(self.groups), len(other.groups))
        padded = [[(0, 0)] * (lengths - len(groups)) + groups for groups in (self.groups, other.groups)]
        self.groups = [later(a, b) for a, b in zip(*padded)]

    def age(self, by):
        def older(load):
            return load[0], load[1] + by
        self.ready = {register: older(load) for register, load in self.ready.items() if load[0] > self.trip}
        self.open, self.groups = older(self.open), [older(load) for load in self.groups[-8:]]

    def wait(self, load, since, covers):
        if load[0] > self.trip:
            self.trip = load[0]
            covers.append(load[1] + since)

    def run(self, instructions, covers):
        for i, instruction in enumerate(instructions):
            for register in _registers(instruction):
                if load := self.ready.pop(register, None):
                    self.wait(load, i, covers)
            arrives = (self.trip + 1, -i)
            if instruction.name == "LDG":
                self.ready |= dict.fromkeys(_filled(instruction), arrives)
            elif instruction.name == "LDGSTS":
                self.open = arrives
            elif instruction.name == "LDGDEPBAR":
                self.groups, self.open = self.groups + [self.open], (0, 0)
            elif match := re.match(r"SB0, (0x[0-9a-f]+)", instruction.operands) if instruction.name == "DEPBAR" else None:
                under_way = int(match[1], 16)
                for group in self.groups[:len(self.groups) - under_way]:
                    self.wait(group, i, covers)
                self.groups = self.groups[len(self.groups) - under_way:] if under_way else []
        self.age(len(instructions))


def _filled(load):
    first = int(_REGISTER.search(load.operands)[1])
    return range(first, first + max(load.width // 32, 1))


def _registers(instruction):
    """What it names; of a load or a store all that it moves."""
    named = set()
    for match in _REGISTER.finditer(instruction.operands):
        named |= {int(match[1]), int(match[1]) + bool(match[2])}
    data = instruction.operands.split(",")
    if instruction.group in ("STG", "STS") and (match := _REGISTER.match(data[-1].strip())):
        named |= set(range(int(match[1]), int(match[1]) + instruction.width // 32))
    return named | set(_filled(instruction)) if instruction.name == "LDG" else named


def _order(blocks, start, inside):
    """The blocks of `inside` that are reached from `start`, each after all that lead to it, and the edges that lead back."""
    order, back, on_way, seen = [], set(), set(), set()
    todo = [(start, iter(blocks.exits[start]))]
    seen.add(start)
    on_way.add(start)
    while todo:
        block, targets = todo[-1]
        for target in targets:
            if target in on_way:
                back.add((block, target))
            elif target in inside and target not in seen:
                seen.add(target)
                on_way.add(target)
                todo.append((target, iter(blocks.exits[target])))
                break
        else:
            order.append(block)
            on_way.discard(block)
            todo.pop()
    return order[::-1], back


def _walk(kernel, blocks, start, inside, state):
    """(the trips of the longest way, the state where ways lead back to `start`, if any do, the covers of all waits)."""
    order, back = _order(blocks, start, inside)
    states, trips, end, covers = {start: state}, 0, None, []
    for block in order:
        now = states.pop(block)
        now.run([kernel.instructions[i] for i in blocks.ranges[block]], covers)
        trips = max(trips, now.trip)
        for target in blocks.exits[block]:
            if target == start:
                end = end or now.copy()
                end.merge(now)
            elif target in inside and (block, target) not in back:
                states.setdefault(target, now.copy()).merge(now)
    return trips, end, covers


def count_trips(kernel):
    blocks = loops.flow(kernel)
    trips, _, _ = _walk(kernel, blocks, 0, set(range(len(blocks.ranges))), _State())

    def loads(body):
        names = collections.Counter(kernel.instructions[i].name for block in body for i in blocks.ranges[block])
        return sum(names[name] for name in _LOADS), -sum(names.values())
    bodies = loops.loop_blocks(blocks)
    header = max(bodies, key=lambda header: loads(bodies[header]), default=None)
    if header is None or loads(bodies[header])[0] == 0:
        return Trips(trips, None, None)
    state, reached, covers = _State(), [], []
    for _ in range(2 * _ROUNDS):
        _, state, waits = _walk(kernel, blocks, header, bodies[header], state)
        reached.append(state.trip)
        covers = covers[-_ROUNDS + 1:] + [waits]
    return Trips(trips, (reached[-1] - reached[-_ROUNDS - 1]) / _ROUNDS, min(sum(covers, []), default=None))
