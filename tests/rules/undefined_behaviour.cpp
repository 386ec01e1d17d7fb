// What the sanitizers must end with an error: otherwise no test and no fuzzer would fail of it.
#include <limits>

int main(int argc, char**) {
  const volatile int largest = std::numeric_limits<int>::max();
  const volatile int sum = largest + argc;
  return sum == 0 ? 1 : 0;
}
