#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <random>

#include "engine/flow.h"
#include "ptx/ast.h"

using namespace emu;

namespace {

const std::string kHead = ".version 9.0\n.target sm_80\n.address_size 64\n";

std::string entry(const std::string& body) {
  return kHead + ".visible .entry k(.param .u64 p, .param .align 8 .b8 q[24])\n{\n" + body + "}\n";
}

std::string fault_of(const std::string& text) {
  try {
    ptx::parse(text);
  } catch (const ptx::Error& error) {
    return error.what();
  }
  return {};
}

const std::string kBody = R"(
  .reg .pred %p<3>;
  .reg .b32 %r<9>;
  .reg .b64 %rd<4>;
  .shared .align 16 .b8 tile[512];
  ld.param.u64 %rd1, [p];
  mov.u32 %r1, %tid.x;
  { .reg .b32 %r<2>; mov.b32 %r1, 7; }
  setp.lt.s32 %p1, %r1, -3;
  @!%p1 bra $L_2;
  ld.global.v2.u32 {%r2, _}, [%rd1+-8];
  shfl.sync.bfly.b32 %r3|%p2, %r2, 1, 31, -1;
$L_2:
  fma.rn.f32 %r4, %r3, 0f3F800000, 0fBF800000;
  ret;
)";

// One to four times: a piece is cut out, a character replaced, or a piece repeated.
std::string damaged(std::string text, std::mt19937& rng) {
  for (unsigned n = rng() % 4 + 1; n > 0; --n) {
    const size_t at = rng() % text.size();
    switch (rng() % 3) {
      case 0:
        text.erase(at, rng() % 20 + 1);
        break;
      case 1:
        text[at] = static_cast<char>(32 + rng() % 95);
        break;
      default:
        text.insert(at, text.substr(rng() % text.size(), rng() % 20));
        break;
    }
  }
  return text;
}

// What is executed after it lies where it must: meeting points in the body, registers in the frame.
void check_whole(const ptx::Function& function) {
  const Flow flow(function);
  const auto count = static_cast<u32>(function.body.size());
  for (u32 i = 0; i < count; ++i) {
    CHECK((flow.meet(i) <= count || flow.meet(i) == kNone));
    for (const ptx::Operand& operand : function.body[i].operands)
      CHECK(operand.reg < static_cast<int32_t>(function.registers.size()));
  }
  const Flow::Registers places = flow.place_registers();
  REQUIRE(places.offset.size() == function.registers.size());
  for (const u32 offset : places.offset) CHECK(offset < places.bytes);
}

}  // namespace

TEST_CASE("a module's declarations and instructions are found") {
  const auto module = ptx::parse(
      kHead + ".global .align 4 .f32 g[2] = {1.5, 0f40000000};\n.global .u64 at = generic(g)+4;\n" +
      entry(kBody).substr(kHead.size()));
  REQUIRE(module->version == 90);
  REQUIRE(module->variables.size() == 2);
  CHECK(module->variables[0].init == std::vector<uint8_t>{0, 0, 0xc0, 0x3f, 0, 0, 0, 0x40});
  REQUIRE(module->variables[1].relocations.size() == 1);
  CHECK(module->variables[1].relocations[0].addend == 4);
  const ptx::Function& function = *module->find_function("k");
  CHECK(function.parameters[1].size == 24);
  REQUIRE(function.body.size() == 9);
  // The inner scope's %r1 is another register.
  CHECK(function.body[2].operands[0].reg != function.body[1].operands[0].reg);
  CHECK(function.body[3].operands[2].bits == static_cast<uint64_t>(-3));
  CHECK(function.body[4].guard_negated);
  CHECK(function.find_label("$L_2", 0, 1) == 7);
  CHECK(function.body[5].operands[0].parts[1].kind == ptx::Operand::Kind::sink);
  CHECK(function.body[5].operands[1].bits == static_cast<uint64_t>(-8));
  CHECK(function.body[6].operands[0].kind == ptx::Operand::Kind::pair);
}

TEST_CASE("diverged lanes meet at the post-dominator, and registers share places") {
  const auto module = ptx::parse(entry(kBody));
  const Flow flow(*module->find_function("k"));
  CHECK(flow.meet(4) == 7);
  CHECK(flow.is_meet(7));
  const Flow::Registers places = flow.place_registers();
  CHECK(places.bytes < 256 + 256 + 4 * 128 + 128);
}

TEST_CASE("an early return does not keep a warp apart") {
  const auto module = ptx::parse(entry(R"(
  .reg .pred %p<3>;
  .reg .b32 %r<3>;
  @%p1 bra $L_1;
  add.s32 %r1, %r1, 1;
  @%p2 bra $L_end;
  add.s32 %r1, %r1, 2;
$L_1:
  add.s32 %r1, %r1, 3;
  bar.sync 0;
  add.s32 %r2, %r1, 3;
$L_end:
  ret;
)"));
  const Flow flow(*module->find_function("k"));
  CHECK(flow.meet(0) == 4);
}

TEST_CASE("what is wrong is reported with its line") {
  CHECK(fault_of(entry("  .reg .b32 %r<2>;\n  add.s32 %r1, %r1\n")).find("PTX line 8") == 0);
  CHECK(fault_of(entry("  .reg .b128x %r<2>;\n")).find("PTX line 6: register type .b128x") == 0);
  CHECK(fault_of("").find("PTX line 1: a module begins with .version") == 0);
  CHECK(fault_of(kHead + ".entry ").find("the end of the module") != std::string::npos);
  CHECK(fault_of(entry("$L: $L: ret;")).find("defined twice") != std::string::npos);
  for (const std::string branch : {"bra;", "brx.idx 0;"}) {
    const auto module = ptx::parse(entry(branch));
    CHECK_THROWS_WITH(Flow(*module->find_function("k")), "PTX line 6: a branch without its target");
  }
}

TEST_CASE("a module that ends too early is refused wherever it ends") {
  const std::string whole = entry(kBody);
  for (size_t end = kHead.size() + 1; end < whole.rfind('}'); ++end) {
    const std::string text = whole.substr(0, end);
    CAPTURE(text);
    CHECK(fault_of(text).find("PTX line ") == 0);
  }
  CHECK(fault_of(whole) == "");
}

TEST_CASE("damaged modules are refused with a line of theirs, or are whole modules; never worse") {
  const std::string whole = entry(kBody);
  std::mt19937 rng(std::random_device{}());
  constexpr int kTrials = 3000;
  int refused = 0;
  for (int i = 0; i < kTrials; ++i) {
    const std::string text = damaged(whole, rng);
    INFO(text);
    try {
      const auto module = ptx::parse(text);
      for (const auto& function : module->functions) {
        if (function->has_body) check_whole(*function);
      }
    } catch (const ptx::Error& error) {
      ++refused;
      const auto lines = static_cast<uint32_t>(std::count(text.begin(), text.end(), '\n')) + 1;
      CHECK((error.line >= 1 && error.line <= lines));
    }
  }
  // Much of the damage hits names, numbers and blanks, and is harmless; more than half is refused, whatever
  // the dice.
  CHECK(refused > kTrials / 2);
  CHECK(refused < kTrials);
}

TEST_CASE("a module of 50,000 lines is prepared in less than two seconds") {
  std::string body = "  .reg .pred %p<9>;\n  .reg .b32 %r<50000>;\n";
  for (int i = 1; i < 49990; ++i) {
    if (i % 50 == 0) {
      body += "  @%p1 bra $L" + std::to_string(i) + ";\n$L" + std::to_string(i) + ":\n";
    }
    body += "  add.s32 %r" + std::to_string(i) + ", %r" + std::to_string(i - 1) + ", 1;\n";
  }
  const auto begin = std::clock();
  const auto module = ptx::parse(entry(body + "  ret;\n"));
  Flow(*module->find_function("k")).place_registers();
  const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  CHECK(seconds < 2);
}

TEST_CASE("where an inlined instruction comes from is reported up to its kernel") {
  const auto module = ptx::parse(entry(R"(
  .loc 1 6 3
  .loc 1 4 5, function_name $L__info_string0, inlined_at 1 6 3
  .loc 2 107 3, function_name $L__info_string1, inlined_at 1 4 5
  trap;
  .loc 1 9 1
  ret;
)") + ".file 1 \"/home/kernel.cu\"\n.file 2 \"/usr/atomic.hpp\"\n");
  const auto& body = module->find_function("k")->body;
  CHECK(module->where(body[0].source) == "/usr/atomic.hpp:107 (from kernel.cu:4, kernel.cu:6)");
  CHECK(module->where(body[1].source) == "/home/kernel.cu:9");
}
