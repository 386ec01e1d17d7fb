"""What the architectures have: how many blocks a multiprocessor takes, and how fast it multiplies.

A multiprocessor has four schedulers, each of which issues one instruction of a warp in a clock. Clocks of a scheduler's
tensor cores follow from the peaks in NVIDIA's data sheets, dense bf16 with f32 sums: FLOP/s / (multiprocessors x boost
clock x 4) is a scheduler's rate, and HMMA.16816 is 16 x 8 x 16 x 2 = 4,096 FLOP.

    sm_80   A100          312 T / (108 x 1.41 G x 4) =   512 FLOP/clk: 8 clocks
    sm_86   A40           150 T / ( 84 x 1.74 G x 4) =   256:         16 (GeForce boards: 32)
    sm_89   L40S          362 T / (142 x 2.52 G x 4) =   256:         16 (GeForce boards: 32)
    sm_90   H100 SXM      989 T / (132 x 1.83 G x 4) = 1,024:          4, by wgmma; mma.sync is measured at 63 % of it
    sm_100  B200        2,250 T / (148 x 1.85 G x 4) = 2,048:          2, by tcgen05; what mma.sync reaches is not published
    sm_120  RTX PRO 6000  500 T / (188 x 2.6 G x 4)  =   256:         16 (GeForce boards: 32)

tf32's HMMA.1688 does half the work at half the rate, IMMA.16832 twice the work at twice the rate: the same clocks.
A scheduler's f32 lanes are 16 on sm_80, so that FFMA takes two clocks there, and 32 on the others. Blocks, warps and
shared memory: CUDA C++ Programming Guide, "Compute Capabilities". Assumed: that the data sheets' peaks hold at these
clocks, of which those of B200 and RTX PRO 6000 are not in them, and that mma.sync can reach them.
"""
import dataclasses

REGISTERS = 65536
REGISTERS_TOGETHER = 256  # are given to a warp at a time
SHARED_OF_SYSTEM = 1024   # of each block


@dataclasses.dataclass(frozen=True)
class Architecture:
    warps: int
    blocks: int
    shared: int
    tensor_clocks: float
    ffma_clocks: float


ARCHITECTURES = {
    "80": Architecture(64, 32, 164 * 1024, 8, 2),
    "86": Architecture(48, 16, 100 * 1024, 16, 1),
    "89": Architecture(48, 24, 100 * 1024, 16, 1),
    "90": Architecture(64, 32, 228 * 1024, 4, 1),
    "100": Architecture(64, 32, 228 * 1024, 2, 1),
    "120": Architecture(48, 24, 100 * 1024, 16, 1),
}


def residency(architecture, threads, registers, shared):
    """(blocks of a multiprocessor, what limits them)."""
    on, warps = ARCHITECTURES[architecture], -(-threads // 32)
    registers_of_warp = -(-32 * max(registers, 1) // REGISTERS_TOGETHER) * REGISTERS_TOGETHER
    limits = {"registers": REGISTERS // registers_of_warp // warps,
              "shared memory": on.shared // (shared + SHARED_OF_SYSTEM),
              "warps": on.warps // warps,
              "blocks": on.blocks}
    name = min(limits, key=limits.get)
    return limits[name], name


def multiply_clocks(architecture, instruction):
    """Clocks that one of a scheduler's multiplying instructions takes at the peak; 0 for other instructions."""
    on = ARCHITECTURES[architecture]
    if instruction.group == "FFMA":
        return on.ffma_clocks * (2 if instruction.name == "FFMA2" else 1)
    if instruction.group != "tensor":
        return 0
    half = (".1688." in instruction.mnemonic and ".TF32" not in instruction.mnemonic) or ".16816.U8" in instruction.mnemonic
    return on.tensor_clocks / (2 if half else 1)


def issue_bound(architecture, instructions):
    """The most of the peak that a loop can reach while each scheduler issues one instruction in a clock."""
    clocks = sum(multiply_clocks(architecture, instruction) for instruction in instructions if
                 instruction.group == "tensor") or sum(multiply_clocks(architecture, i) for i in instructions)
    return min(1.0, clocks / len(instructions))
