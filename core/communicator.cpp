#include "core/communicator.h"

#include <cstring>
#include <vector>

#include "kernels/common/dtype.h"

namespace cuclip {
namespace {

class NothingUnderWay : public Exchange {
 public:
  void wait() override {}
};

size_t bytes_of(const TensorView& view) { return static_cast<size_t>(view.elements()) * size_of(view.dtype); }

TensorView row_of(const TensorView& all, int row) {
  const size_t bytes = bytes_of(all) / static_cast<size_t>(all.size(0));
  return {static_cast<char*>(all.data) + static_cast<size_t>(row) * bytes,
          DType::u8,
          {static_cast<int64_t>(bytes)}};
}

}  // namespace

std::unique_ptr<Exchange> Communicator::exchange(std::span<const Message> sends,
                                                 std::span<const Message> receives) {
  std::vector<Message> own, to_others, from_others;
  for (const auto& messages : {sends, receives}) {
    for (const Message& message : messages) {
      CUCLIP_CHECK(message.rank >= 0 && message.rank < size_, "exchange: there is no rank {}, only 0 to {}",
                   message.rank, size_ - 1);
      CUCLIP_CHECK(message.view.is_contiguous(), "exchange: messages must be contiguous");
    }
  }
  for (const Message& send : sends) {
    if (send.rank == rank_) {
      own.push_back(send);
    } else {
      to_others.push_back(send);
      bytes_sent_ += static_cast<int64_t>(bytes_of(send.view));
    }
  }
  size_t copied = 0;
  for (const Message& receive : receives) {
    if (receive.rank != rank_) {
      from_others.push_back(receive);
      continue;
    }
    CUCLIP_CHECK(copied < own.size() && bytes_of(own[copied].view) == bytes_of(receive.view),
                 "exchange: a rank receives from itself what it does not send");
    if (bytes_of(receive.view) > 0) {
      std::memmove(receive.view.data, own[copied].view.data, bytes_of(receive.view));
    }
    copied++;
  }
  CUCLIP_CHECK(copied == own.size(), "exchange: a rank sends to itself what it does not receive");
  return begin(to_others, from_others);
}

void Communicator::all_gather(const TensorView& own, const TensorView& all) {
  CUCLIP_CHECK(
      all.rank() > 0 && all.size(0) == size_ && bytes_of(all) == bytes_of(own) * static_cast<size_t>(size_),
      "all_gather: {} ranks' {} do not make {}", size_, own.shape.to_string(), all.shape.to_string());
  std::vector<Message> sends, receives;
  for (int other = 0; other < size_; ++other) {
    if (other == rank_ && row_of(all, rank_).data == own.data) continue;
    sends.push_back({other, own});
    receives.push_back({other, row_of(all, other)});
  }
  exchange(sends, receives)->wait();
}

void Communicator::broadcast(const TensorView& x, int root) {
  std::vector<Message> sends, receives;
  if (rank_ != root) {
    receives.push_back({root, x});
  } else {
    for (int other = 0; other < size_; ++other) {
      if (other != root) sends.push_back({other, x});
    }
  }
  exchange(sends, receives)->wait();
}

void Communicator::barrier() {
  std::vector<uint8_t> all(static_cast<size_t>(size_));
  uint8_t own = 0;
  all_gather(make_view(&own, {1}), make_view(all.data(), {size_, 1}));
}

std::unique_ptr<Exchange> SingleCommunicator::begin(std::span<const Message>, std::span<const Message>) {
  return std::make_unique<NothingUnderWay>();
}

}  // namespace cuclip
