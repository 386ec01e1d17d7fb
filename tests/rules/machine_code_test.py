#!/usr/bin/env python3
"""Tests of scripts/machine_code on recorded disassembly. usage: tests/rules/machine_code_test.py"""
import pathlib
import struct
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "scripts"))
from machine_code import images, limits, loops  # noqa: E402

# Of a walk over tiles (the outer loop) with a product (the inner one), whose loads stand behind the end,
# where ptxas likes to put what is rarely executed.
NESTED = """
//--------------------- .text._Z4walkv --------------------------
	.section	.text._Z4walkv,"ax",@progbits
.text._Z4walkv:
        /*0000*/                   LDC R1, c[0x0][0x28] ;
        /*0010*/                   MUFU.RCP R4, R4 ;
.L_x_0:
        /*0020*/                   IMAD.MOV.U32 R2, RZ, RZ, R3 ;
.L_x_1:
        /*0030*/                   DEPBAR.LE SB0, 0x1 ;
        /*0040*/                   BAR.SYNC.DEFER_BLOCKING 0x0 ;
        /*0050*/                   ISETP.GE.AND P0, PT, R5, R6, PT ;
        /*0060*/              @!P0 BRA `(.L_x_3) ;
.L_x_2:
        /*0070*/                   LDSM.16.M88.4 R4, [R166] ;
        /*0080*/                   LDSM.16.MT88.4 R8, [R166+0x400] ;
        /*0090*/                   HMMA.16816.F32.BF16 R136, R12.reuse, R194, R136 ;
        /*00a0*/                   HMMA.16816.F32.BF16 R140, R12, R196, R140 ;
        /*00b0*/                   UIADD3 UR4, UR4, 0x1, URZ ;
        /*00c0*/               @P1 BRA `(.L_x_1) ;
        /*00d0*/                   STG.E.128 desc[UR8][R2.64], R4 ;
        /*00e0*/              @!P2 BRA `(.L_x_0) ;
        /*00f0*/                   EXIT ;
.L_x_3:
        /*0100*/                   LDGSTS.E.BYPASS.128 [R15], desc[UR8][R18.64], P3 ;
        /*0110*/                   LDGSTS.E.LTC128B [R15+0x10], desc[UR8][R18.64], P3 ;
        /*0120*/                   BRA `(.L_x_2) ;
.L_x_4:
        /*0130*/                   BRA `(.L_x_4) ;
"""
# Of a walk over strips (the outer loop, which multiplies most) with a product and its tail (within it).
STRIPS = """
.text.strips:
.L_x_0:
        /*0000*/                   LDG.E.128 R4, desc[UR4][R2.64] ;
.L_x_1:
        /*0010*/                   LDSM.16.M88.4 R4, [R166] ;
        /*0020*/                   HMMA.16816.F32.BF16 R136, R12, R194, R136 ;
        /*0030*/                   HMMA.16816.F32.BF16 R140, R12, R196, R140 ;
        /*0040*/               @P0 BRA `(.L_x_1) ;
.L_x_2:
        /*0050*/                   HMMA.16816.F32.BF16 R140, R12, R196, R140 ;
        /*0060*/               @P1 BRA `(.L_x_2) ;
        /*0070*/               @P2 BRA `(.L_x_0) ;
        /*0080*/                   EXIT ;
"""
# A BSYNC goes on where its BSSY says, not at the instruction behind it.
BARRIERS = """
.text.sum:
        /*0000*/                   BSSY B0, `(.L_x_2) ;
        /*0010*/               @P0 EXIT ;
.L_x_0:
        /*0020*/                   FFMA R0, R1, R2, R0 ;
        /*0030*/                   LDS.U.128 R4, [R5] ;
        /*0040*/                   BRA.U UP0, `(.L_x_0) ;
.L_x_1:
        /*0050*/                   BSYNC B0 ;
        /*0060*/                   FFMA R0, R1, R2, R0 ;
.L_x_2:
        /*0070*/                   BRX R2 -0x80                     (*"BRANCH_TARGETS .L_x_0,.L_x_3"*) ;
.L_x_3:
        /*0080*/                   STL [R1], R0 ;
        /*0090*/                   EXIT ;
"""


def names(instructions):
    return [instruction.name for instruction in instructions]


class Parsing(unittest.TestCase):
    def test_instructions_with_guards_and_operands(self):
        kernel = loops.parse(NESTED)["_Z4walkv"]
        self.assertEqual(len(kernel.instructions), 20)
        self.assertEqual(kernel.labels, {".L_x_0": 2, ".L_x_1": 3, ".L_x_2": 7, ".L_x_3": 16, ".L_x_4": 19})
        branch = kernel.instructions[6]
        self.assertEqual((branch.mnemonic, branch.guard, branch.operands), ("BRA", "!P0", "`(.L_x_3)"))

    def test_classes(self):
        def group(text):
            return loops.parse(f".text.k:\n  /*0000*/  {text} ;\n")["k"].instructions[0].group
        for text, expected in [("HMMA.16816.F32.BF16 R1, R2, R3, R1", "tensor"), ("IMAD.MOV.U32 R1, RZ, RZ, R2", "move"),
                               ("IMAD.WIDE.U32 R2, R3, R4, R6", "integer"), ("@!PT LDS RZ, [RZ]", "LDS"), ("LDL R1, [R2]", "local"),
                               ("ISETP.NE.AND P0, PT, R1, RZ, PT", "predicate"), ("LDGDEPBAR", "barrier"), ("F2FP.BF16 R1, R2", "convert"),
                               ("FSETP.NAN.AND P0, PT, R1, R1, PT", "predicate"), ("NOP", "other"), ("UMOV UR5, 0x400", "move")]:
            self.assertEqual(group(text), expected, text)

    def test_widths(self):
        def width(text):
            return loops.parse(f".text.k:\n  /*0000*/  {text} ;\n")["k"].instructions[0].width
        for text, bits in [("LDG.E.128 R4, desc[UR4][R2.64]", 128), ("LDG.E R4, desc[UR4][R2.64]", 32), ("LDG.E.U16 R4, [R2.64]", 16),
                           ("LDGSTS.E.BYPASS.LTC128B.128 [R1], [R2.64]", 128), ("LDGSTS.E.LTC128B [R1], [R2.64]", 32),
                           ("LDSM.16.MT88.4 R4, [R2]", 128), ("LDSM.16.M88.2 R4, [R2]", 64), ("STS.64 [R1], R2", 64)]:
            self.assertEqual(width(text), bits, text)


class Loops(unittest.TestCase):
    def test_main_loop_is_the_inner_one_with_what_stands_elsewhere(self):
        kernel = loops.parse(NESTED)["_Z4walkv"]
        self.assertEqual(sorted(map(len, loops.loops(kernel))), [13, 16])
        loop = loops.main_loop(kernel)
        self.assertEqual(names(loop), ["DEPBAR", "BAR", "ISETP", "BRA", "LDSM", "LDSM", "HMMA", "HMMA", "UIADD3", "BRA", "LDGSTS",
                                       "LDGSTS", "BRA"])
        classes, widths = loops.count_classes(loop)
        self.assertEqual(classes, {"tensor": 2, "LDSM": 2, "LDGSTS": 2, "integer": 1, "predicate": 1, "branch": 3, "barrier": 2})
        self.assertEqual(widths, {"LDSM": {128: 2}, "LDGSTS": {32: 1, 128: 1}})

    def test_main_loop_is_within_one_that_multiplies_more(self):
        loop = loops.main_loop(loops.parse(STRIPS)["strips"])
        self.assertEqual(names(loop), ["LDSM", "HMMA", "HMMA", "BRA"])

    def test_jumps_through_barriers_and_tables(self):
        kernel = loops.parse(BARRIERS)["sum"]
        bodies = sorted(names(loop) for loop in loops.loops(kernel))
        self.assertEqual(len(bodies), 1)  # both ways back lead to the same header
        self.assertEqual(names(loops.main_loop(kernel)), ["FFMA", "LDS", "BRA", "BSYNC", "BRX"])

    def test_no_loop_multiplies(self):
        self.assertIsNone(loops.main_loop(loops.parse(".text.k:\n.L_x_0:\n /*0000*/ BRA `(.L_x_0) ;\n")["k"]))
        self.assertIsNone(loops.main_loop(loops.Kernel([], {})))


class Limits(unittest.TestCase):
    def test_residency(self):
        self.assertEqual(limits.residency("80", 128, 255, 49152), (2, "registers"))
        self.assertEqual(limits.residency("86", 128, 128, 49152), (2, "shared memory"))
        self.assertEqual(limits.residency("80", 128, 128, 49152), (3, "shared memory"))
        self.assertEqual(limits.residency("89", 1024, 32, 0), (1, "warps"))
        self.assertEqual(limits.residency("90", 32, 16, 0), (32, "blocks"))

    def test_issue_bound(self):
        loop = loops.main_loop(loops.parse(NESTED)["_Z4walkv"])
        self.assertEqual(limits.issue_bound("80", loop), 1.0)         # 2 x 8 clocks, 13 instructions
        self.assertAlmostEqual(limits.issue_bound("90", loop), 8 / 13)
        half = loops.parse(".text.k:\n /*0*/ HMMA.1688.F32.BF16 R1, R2, R3, R1 ;\n /*1*/ NOP ;\n")["k"].instructions
        self.assertAlmostEqual(limits.issue_bound("90", [*half, *half[1:] * 2]), 2 / 4)
        tf32 = loops.parse(".text.k:\n /*0*/ HMMA.1688.F32.TF32 R1, R2, R3, R1 ;\n")["k"].instructions
        self.assertEqual(limits.multiply_clocks("90", tf32[0]), 4)
        ffma = loops.parse(".text.k:\n /*0*/ FFMA R1, R2, R3, R1 ;\n /*1*/ MOV R1, R2 ;\n")["k"].instructions
        self.assertEqual((limits.issue_bound("80", ffma), limits.issue_bound("90", ffma)), (1.0, 0.5))


class Images(unittest.TestCase):
    def test_report(self):
        report = """ptxas info    : Compiling entry function 'a' for 'sm_80'
ptxas info    : Function properties for a
    16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 4096 bytes smem, 400 bytes cmem[0]
ptxas info    : Compiling entry function 'b' for 'sm_80'
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, used 0 barriers"""
        self.assertEqual(images.read_report(report), {"a": (255, 20, 4096), "b": (40, 0, 0)})

    def test_entries(self):
        ptx = (".visible .entry a(\n.param .u64 x\n)\n.maxntid 128, 1, 1\n.minnctapersm 2\n{\nret;\n}\n"
               ".visible .entry b(\n.param .u64 x\n)\n{\n}\n.entry c()\n.maxntid 16, 16, 2\n{\n}\n")
        self.assertEqual(images.entries(ptx), {"a": 128, "b": 1024, "c": 512})

    def test_names(self):
        name = ("void cuclip::(anonymous namespace)::gemm_kernel<cuclip::FfmaProduct<(cuclip::Along)0, (cuclip::Along)1, true, false>, "
                "float>(cuclip::ProductArguments<float>)")
        self.assertEqual(images.short_name(name), "gemm_kernel<FfmaProduct<0, 1, true, false>, float>")

    def test_ptx_in_an_object(self):
        def image(kind, flags, payload):
            header = struct.pack("<HHIQ", kind, 0x101, 64, len(payload)) + bytes(12) + struct.pack("<I", 80) + bytes(8)
            return header + struct.pack("<Q", flags) + bytes(64 - len(header) - 8) + payload
        body = image(2, 0, b"\x7fELF") + image(1, 0, b".version 9.0\0\0\0\0")
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "kernels.o"
            file.write_bytes(b"before" + struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body)
            self.assertEqual(images.ptx_of(file), ".version 9.0")
            body = image(1, 0x8000, b"compressed")
            file.write_bytes(struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body)
            with self.assertRaisesRegex(ValueError, "kernels.o: expected PTX that is not compressed, found none"):
                images.ptx_of(file)


if __name__ == "__main__":
    unittest.main()
