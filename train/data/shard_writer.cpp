#include "train/data/shard_writer.h"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <nlohmann/json.hpp>

#include "kernels/common/check.h"

namespace cuclip {
namespace {

// A tar file written into a sink; libarchive is C, so the sink's exceptions wait until it has returned.
class TarWriter {
 public:
  explicit TarWriter(const ByteSink& sink) : sink_(sink), archive_(archive_write_new(), archive_write_free) {
    archive_write_set_format_pax_restricted(archive_.get());  // ustar wherever that is enough
    archive_write_set_bytes_in_last_block(archive_.get(), 1);
    check(archive_write_open(archive_.get(), this, nullptr, &TarWriter::write, nullptr));
  }

  void add(const std::string& name, const std::string& contents) {
    const std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry(archive_entry_new(),
                                                                              archive_entry_free);
    archive_entry_set_pathname(entry.get(), name.c_str());
    archive_entry_set_size(entry.get(), std::ssize(contents));
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    archive_entry_set_perm(entry.get(), 0644);
    check(archive_write_header(archive_.get(), entry.get()));
    const la_ssize_t written = archive_write_data(archive_.get(), contents.data(), contents.size());
    check(written == std::ssize(contents) ? ARCHIVE_OK : ARCHIVE_FATAL);
  }

  void finish() { check(archive_write_close(archive_.get())); }

 private:
  static la_ssize_t write(archive*, void* self, const void* bytes, size_t size) {
    auto* writer = static_cast<TarWriter*>(self);
    try {
      writer->sink_({static_cast<const std::byte*>(bytes), size});
    } catch (...) {
      writer->error_ = std::current_exception();
      return -1;
    }
    return static_cast<la_ssize_t>(size);
  }

  void check(int result) {
    if (error_) std::rethrow_exception(error_);
    if (result != ARCHIVE_OK) fail("cannot write a shard: {}", archive_error_string(archive_.get()));
  }

  const ByteSink& sink_;
  std::unique_ptr<archive, decltype(&archive_write_free)> archive_;
  std::exception_ptr error_;
};

void add_sample(TarWriter& tar, const ShardSample& sample) {
  tar.add(sample.key + "." + sample.extension, sample.picture);
  if (sample.captions.size() == 1) {
    tar.add(sample.key + ".txt", sample.captions[0]);
  } else {
    tar.add(sample.key + ".json", nlohmann::json{{"captions", sample.captions}}.dump());
  }
}

}  // namespace

std::vector<std::string> shard_list(const std::string& prefix, int64_t count, int64_t samples_per_shard) {
  std::vector<std::string> names;
  for (int64_t start = 0; start < count; start += samples_per_shard) {
    names.push_back(fmt::format("{}-{:03}.tar", prefix, names.size()));
  }
  return names;
}

std::vector<PendingFile> write_shards(const std::filesystem::path& folder, const std::string& prefix,
                                      int64_t count, int64_t samples_per_shard,
                                      const std::function<ShardSample(int64_t)>& sample) {
  std::vector<PendingFile> shards;
  int64_t start = 0;
  for (const std::string& name : shard_list(prefix, count, samples_per_shard)) {
    shards.emplace_back(folder / name, [&](const ByteSink& sink) {
      TarWriter tar(sink);
      for (int64_t i = start; i < std::min(count, start + samples_per_shard); ++i) add_sample(tar, sample(i));
      tar.finish();
    });
    start += samples_per_shard;
  }
  return shards;
}

}  // namespace cuclip
