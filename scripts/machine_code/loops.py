"""Reads nvdisasm's text: a kernel's instructions, its loops, and what the main one consists of.

The main loop is the one with the most tensor-core instructions, or the most fused multiply-adds where there are none, not
counting those in loops within it; of loops with equally many, the shortest. Its instructions are all that one iteration can
execute, whichever way it goes.
"""
import collections
import dataclasses
import re

# What instructions are counted as, in the order of tables. Loads and stores are counted by width besides.
CLASSES = ["tensor", "FFMA", "float", "LDSM", "LDS", "STS", "LDGSTS", "LDG", "STG", "local", "MUFU", "convert", "integer", "move",
           "predicate", "branch", "barrier", "other"]
_MEMORY = {"LDSM", "LDS", "STS", "LDGSTS", "LDG", "STG"}
_CLASS_OF = {name: group for group, names in {
    "tensor": "HMMA IMMA BMMA DMMA QMMA OMMA HGMMA IGMMA QGMMA BGMMA",
    "FFMA": "FFMA FFMA2",
    "float": "FADD FADD2 FMUL FMUL2 FMNX FMNMX FMNMX3 FSEL FSWZADD FCHK DADD DMUL DFMA HADD2 HMUL2 HFMA2 HMNMX2",
    "local": "LDL STL",
    "MUFU": "MUFU",
    "convert": "F2F F2FP F2I F2IP I2F I2FP I2I I2IP FRND",
    "integer": "IADD IADD3 IADD32I IMAD IMUL IABS IMNMX VIMNMX VIMNMX3 VIADD VIADDMNMX LEA LOP LOP3 LOP32I SHF SHL SHR BREV BMSK "
               "FLO POPC SGXT PRMT IDP UIADD3 UIMAD ULEA ULOP3 USHF UPRMT USGXT UFLO UPOPC UBREV UBMSK UIMNMX UVIMNMX UVIADD",
    "move": "MOV UMOV SEL USEL S2R S2UR CS2R CS2UR R2UR SHFL LDC ULDC LDCU REDUX MOVM LEPC",
    "predicate": "ISETP FSETP DSETP HSETP2 PLOP3 UISETP UPLOP3 P2R R2P UP2UR VOTE VOTEU PSETP FSET ISET MATCH",
    "branch": "BRA BRX JMP JMX EXIT RET CALL BSSY BSYNC BREAK BMOV YIELD WARPSYNC NANOSLEEP ELECT",
    "barrier": "BAR B2R DEPBAR LDGDEPBAR MEMBAR ERRBAR CCTL SYNCS WARPGROUP ARRIVES FENCE UCGABAR_ARV UCGABAR_WAIT",
}.items() for name in names.split()}


@dataclasses.dataclass
class Instruction:
    """The mnemonic with its modifiers (HMMA.16816.F32.BF16), the predicate it depends on, or None, and its operands."""
    mnemonic: str
    guard: str | None
    operands: str

    @property
    def name(self):
        return self.mnemonic.split(".")[0]

    @property
    def group(self):
        if self.name in _MEMORY:
            return self.name
        if self.mnemonic.startswith("IMAD.MOV") or self.mnemonic.startswith("UIMAD.MOV"):
            return "move"
        return _CLASS_OF.get(self.name, "other")

    @property
    def width(self):
        """Bits that a lane moves; ldmatrix' are those of its matrices."""
        if self.name == "LDSM":
            return 32 * int(match[1]) if (match := re.search(r"\.MT?88\.(\d)\b", self.mnemonic)) else 32
        match = re.search(r"\.[US]?(8|16|64|128|256)\b", self.mnemonic)
        return int(match[1]) if match else 32


@dataclasses.dataclass
class Kernel:
    """Instructions in order, and at which of them the labels stand."""
    instructions: list
    labels: dict


def parse(text):
    """{symbol: Kernel} of what nvdisasm -c has printed."""
    kernels, kernel = {}, None
    for line in text.splitlines():
        if match := re.match(r"\.text\.(\w+):", line):
            kernel = kernels.setdefault(match[1], Kernel([], {}))
        elif kernel is None:
            continue
        elif match := re.match(r"(\.L_\w+):", line):
            kernel.labels[match[1]] = len(kernel.instructions)
        elif match := re.match(r"\s*(?:/\*[0-9a-f]+\*/)?\s*\{?\s*(?:@(!?U?P\w+)\s+)?([A-Z][A-Z0-9_.]*)(?:\s+([^;]*))?;", line):
            kernel.instructions.append(Instruction(match[2], match[1], (match[3] or "").strip()))
    return kernels


def _successors(kernel, i):
    """Where execution may go on after instruction i."""
    instruction, following = kernel.instructions[i], [i + 1]
    name = instruction.name
    targets = [kernel.labels[label] for label in re.findall(r"\.L_\w+", instruction.operands) if label in kernel.labels]
    if name in ("EXIT", "RET"):
        return following if instruction.guard else []
    if name in ("BRX", "JMX"):
        return targets
    if name in ("BRA", "JMP"):
        conditional = instruction.guard or re.match(r"[^`]*P\d", instruction.operands) or ".DIV" in instruction.mnemonic
        return targets + following if conditional else targets
    if name == "BSYNC":  # goes on where the BSSY before it has said
        barrier = instruction.operands.split(",")[-1].split()[-1]
        for before in reversed(kernel.instructions[:i]):
            if before.name == "BSSY" and re.search(rf"\b{barrier}\b", before.operands):
                label = re.search(r"\.L_\w+", before.operands)[0]
                return [kernel.labels[label]] + (following if instruction.guard else [])
    return following


@dataclasses.dataclass
class Flow:
    """A kernel's basic blocks: the range of instructions of each, the blocks before it and after it. Those that are never reached
    have none."""
    ranges: list
    entries: list
    exits: list


def flow(kernel):
    end = len(kernel.instructions)
    after = [[j for j in _successors(kernel, i) if j < end] for i in range(end)]
    leaders = {0} | {i for i in kernel.labels.values() if i < end}
    for i, nexts in enumerate(after):
        if nexts != [i + 1]:
            leaders.update(nexts)
            leaders.update({i + 1} - {end})
    firsts = sorted(leaders)
    number = {first: n for n, first in enumerate(firsts)}
    ranges = [range(first, beyond) for first, beyond in zip(firsts, firsts[1:] + [end])]
    exits = [[number[j] for j in after[block[-1]]] for block in ranges]
    entries, reached, todo = [[] for _ in firsts], set(), [0]
    while todo:
        n = todo.pop()
        if n not in reached:
            reached.add(n)
            todo += exits[n]
            for target in exits[n]:
                entries[target].append(n)
    return Flow(ranges, entries, [targets if n in reached else [] for n, targets in enumerate(exits)])


def loop_blocks(blocks):
    """{header: all its blocks} of every natural loop. Loops with one header are one: they are the ways round it."""
    bodies = collections.defaultdict(set)
    for tail, targets in enumerate(blocks.exits):
        for header in (target for target in targets if target <= tail):
            body, todo = {header}, [tail]
            while todo:
                block = todo.pop()
                if block not in body:
                    body.add(block)
                    todo += blocks.entries[block]
            if 0 not in body or header == 0:  # else there is a way into it past its header
                bodies[header] |= body
    return bodies


def loops(kernel):
    """Every natural loop as a list of its instructions."""
    if not kernel.instructions:
        return []
    blocks = flow(kernel)
    return [[kernel.instructions[i] for block in sorted(body) for i in blocks.ranges[block]] for body in loop_blocks(blocks).values()]


def main_loop(kernel):
    """The instructions of the main loop, or None where no loop multiplies."""
    found = [(loop, {id(instruction) for instruction in loop}) for loop in loops(kernel)]

    def rank(of):
        loop, members = of
        inner = set().union(*(others for _, others in found if others < members))
        count = collections.Counter(instruction.group for instruction in loop if id(instruction) not in inner)
        return count["tensor"], count["FFMA"], -len(loop)
    best = max(found, key=rank, default=None)
    return best[0] if best and rank(best)[:2] != (0, 0) else None


def count_classes(instructions):
    """{class: number}, without those that are absent, and {LDG: {128: number}, ...} of what accesses memory."""
    groups = collections.Counter(instruction.group for instruction in instructions)
    widths = collections.defaultdict(collections.Counter)
    for instruction in instructions:
        if instruction.group in _MEMORY:
            widths[instruction.group][instruction.width] += 1
    return ({name: groups[name] for name in CLASSES if groups[name]},
            {name: dict(sorted(widths[name].items())) for name in CLASSES if name in widths})
