#include "train/data/prepare.h"

#include <fcntl.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <mutex>
#include <numeric>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "core/clock.h"
#include "core/counted.h"
#include "core/file_io.h"
#include "core/file_lock.h"
#include "kernels/common/parallel.h"
#include "train/data/caption_words.h"
#include "train/data/collections.h"
#include "train/data/duplicates.h"
#include "train/data/prepared_picture.h"
#include "train/data/prepared_set.h"
#include "train/data/shard_writer.h"

namespace cuclip {
namespace {

namespace fs = std::filesystem;

uint64_t hash_of(const std::string& text) { return XXH64(text.data(), text.size(), 0); }

// Keeps the prepared pictures' bytes on disk until it is known which of them go where. The file has no name:
// it is gone when the process is, however that ends. (On a file system without nameless files it has a name
// for a moment.)
class Spool {
 public:
  struct Extent {
    int64_t offset = 0;
    int64_t size = 0;
  };

  explicit Spool(const fs::path& folder)
      : folder_(folder), fd_(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)) {
    if (fd_ < 0) fd_ = open_unlinked();
    if (fd_ < 0) fail("cannot write to {}: {}", folder.string(), std::strerror(errno));
  }
  ~Spool() { ::close(fd_); }
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;

  Extent append(const std::string& bytes) {
    const std::lock_guard lock(mutex_);
    const Extent extent{.offset = end_, .size = std::ssize(bytes)};
    for (size_t done = 0; done < bytes.size();) {
      const ssize_t n =
          ::pwrite(fd_, bytes.data() + done, bytes.size() - done, end_ + static_cast<off_t>(done));
      if (n <= 0) fail("cannot write a temporary file in {}: {}", folder_.string(), std::strerror(errno));
      done += static_cast<size_t>(n);
    }
    end_ += extent.size;
    return extent;
  }

  std::string read(const Extent& extent) const {
    std::string bytes(static_cast<size_t>(extent.size), '\0');
    for (size_t done = 0; done < bytes.size();) {
      const ssize_t n =
          ::pread(fd_, bytes.data() + done, bytes.size() - done, extent.offset + static_cast<off_t>(done));
      if (n <= 0) fail("cannot read a temporary file in {}: {}", folder_.string(), std::strerror(errno));
      done += static_cast<size_t>(n);
    }
    return bytes;
  }

 private:
  int open_unlinked() const {
    std::string pattern = (folder_ / ".spool-XXXXXX").string();
    const int fd = ::mkostemp(pattern.data(), O_CLOEXEC);
    if (fd >= 0) ::unlink(pattern.c_str());
    return fd;
  }

  fs::path folder_;
  int fd_;
  std::mutex mutex_;
  int64_t end_ = 0;
};

// A picture that was read, on its way to a shard.
struct Candidate {
  std::string key;
  std::vector<std::string> captions;
  std::string extension;
  Spool::Extent bytes;
  PictureFingerprint fingerprint;
  std::string icon_name;
  bool drawing = false;
  int64_t structure_group = 0;  // pictures with the same structure, whatever their colours

  const std::string& caption() const { return captions.front(); }
};

class Preparation {
 public:
  explicit Preparation(const PrepareOptions& options) : options_(options), spool_(options.out) {}

  PrepareReport run() {
    const double start = seconds_now();
    collect();
    read_pictures();
    join_duplicates();
    drop_uninformative();
    balance();
    split();
    write();
    report_.seconds = seconds_now() - start;
    return std::move(report_);
  }

 private:
  void collect();
  void read_pictures();
  void join_duplicates();
  void drop_uninformative();
  void balance();
  void split();
  void write();
  std::vector<PendingFile> write_split(const char* prefix, const std::vector<Candidate>& pairs);
  void remove_shards(const std::set<std::string>& earlier);

  // Keeps the candidates for which keep(i) holds.
  template <typename Keep>
  void filter(const char* reason, Keep keep) {
    std::vector<Candidate> kept;
    for (size_t i = 0; i < candidates_.size(); ++i) {
      if (keep(i)) {
        kept.push_back(std::move(candidates_[i]));
      } else {
        report_.left_out.add(reason, candidates_[i].key + ": " + candidates_[i].caption());
      }
    }
    candidates_ = std::move(kept);
  }

  PrepareOptions options_;
  Spool spool_;
  PrepareReport report_;
  std::vector<RawPair> raw_;
  std::vector<Candidate> candidates_;
  std::vector<Candidate> held_out_;
};

void Preparation::collect() {
  CaptionCounter counter;
  for (const std::string& from : options_.from) {
    RawPairs found = list_pairs(from, options_.dataset, options_.threads);
    report_.left_out.add(found.bad);
    report_.notes.insert(report_.notes.end(), found.notes.begin(), found.notes.end());
    std::move(found.pairs.begin(), found.pairs.end(), std::back_inserter(raw_));
  }
  for (const RawPair& pair : raw_) counter.add(pair.original, 1);
  report_.before = counter.statistics();
}

void Preparation::read_pictures() {
  std::vector<Candidate> all(raw_.size());
  std::vector<std::string> reasons(raw_.size()), errors(raw_.size()), damage(raw_.size());
  ThreadPool pool(options_.threads);
  pool.run(std::ssize(raw_), [&](int64_t task, int) {
    const auto i = static_cast<size_t>(task);
    const RawPair& pair = raw_[i];
    try {
      PreparedPicture picture = prepare_picture(pair, options_.image_size, options_.max_pixels);
      all[i] = {.key = pair.key,
                .captions = pair.captions,
                .extension = std::string(word(picture.format)),
                .bytes = spool_.append(picture.bytes),
                .fingerprint = picture.fingerprint,
                .icon_name = pair.icon_name,
                .drawing = pair.drawing};
      damage[i] = std::move(picture.damage);
    } catch (const SampleError& error) {
      reasons[i] = error.reason();
      errors[i] = error.what();
    }
  });
  for (size_t i = 0; i < raw_.size(); ++i) {
    report_.left_out.add_damaged(damage[i]);
    if (reasons[i].empty()) {
      candidates_.push_back(std::move(all[i]));
    } else {
      report_.left_out.add(reasons[i], errors[i]);
    }
  }
  raw_.clear();
  CUCLIP_CHECK(!candidates_.empty(), "data prepare: no usable picture: {}", report_.left_out.summary());
  // From here on the order is meaningless: what the limits keep is a random choice, the same each time.
  std::sort(candidates_.begin(), candidates_.end(), [](const Candidate& a, const Candidate& b) {
    return std::pair(hash_of(a.key), a.key) < std::pair(hash_of(b.key), b.key);
  });
}

void Preparation::join_duplicates() {
  std::vector<PictureFingerprint> fingerprints;
  for (const Candidate& candidate : candidates_) fingerprints.push_back(candidate.fingerprint);
  const std::vector<int64_t> same = group_duplicates(fingerprints, {});
  const std::vector<int64_t> alike = group_duplicates(fingerprints, kSameStructure);
  for (size_t i = 0; i < candidates_.size(); ++i) {
    Candidate& first = candidates_[static_cast<size_t>(same[i])];
    candidates_[i].structure_group = alike[i];
    if (&first == &candidates_[i]) continue;
    // The longest caption, which says most, comes first and is the one to evaluate with. For drawings it is
    // the only one that is kept: other captions of the same drawing only vary its keywords, and cost recall.
    std::vector<std::string>& captions = candidates_[i].captions;
    if (captions.front().size() > first.caption().size()) std::swap(captions, first.captions);
    if (first.drawing) captions.clear();
    for (std::string& caption : captions) {
      if (std::find(first.captions.begin(), first.captions.end(), caption) == first.captions.end()) {
        first.captions.push_back(std::move(caption));
      }
    }
    captions.resize(1);
  }
  filter("the same picture", [&](size_t i) { return same[i] == static_cast<int64_t>(i); });
}

// A program's name under its icon, a word in another language, a misspelling: where no word of a caption
// occurs in any other, nothing can be learned from it. Icons do not speak for each other: they have in common
// what programs are called and do.
void Preparation::drop_uninformative() {
  std::unordered_map<std::string, int64_t> pictures_with;
  std::vector<std::set<std::string>> words(candidates_.size());
  for (size_t i = 0; i < candidates_.size(); ++i) {
    const std::string& icon_name = candidates_[i].icon_name;
    for (const std::string& word : folded_words(icon_name.empty() ? candidates_[i].caption() : icon_name)) {
      if (is_digits(word) || word.size() == 1 || !words[i].insert(word).second) continue;
      if (icon_name.empty()) ++pictures_with[word];
    }
  }
  // Words like "icon" or "flag" occur so often that they say only what kind of picture it is.
  const int64_t too_often = std::max<int64_t>(std::ssize(candidates_) / 20, 2);
  filter("no word in common with others", [&](size_t i) {
    if (!candidates_[i].drawing) return true;
    return std::any_of(words[i].begin(), words[i].end(), [&](const std::string& word) {
      const auto count = pictures_with.find(word);
      return count != pictures_with.end() && count->second >= 2 && count->second <= too_often;
    });
  });
}

void Preparation::balance() {
  std::unordered_map<std::string, int64_t> same_caption, same_series;
  filter("caption too frequent", [&](size_t i) {
    const std::string& caption = candidates_[i].caption();
    int64_t& pictures = same_caption[caption_key(caption)];
    int64_t& series = same_series[caption_key(caption, Numbers::leave_out)];
    if (pictures >= options_.max_per_caption || series >= options_.max_per_series) return false;
    ++pictures;
    ++series;
    return true;
  });
}

void Preparation::split() {
  // How many pictures have a caption, or a structure.
  std::unordered_map<std::string, int64_t> pictures_with;
  std::unordered_map<int64_t, int64_t> group_size;
  for (const Candidate& candidate : candidates_) {
    std::unordered_set<std::string> keys;
    for (const std::string& caption : candidate.captions) keys.insert(caption_key(caption));
    for (const std::string& key : keys) ++pictures_with[key];
    ++group_size[candidate.structure_group];
  }
  std::vector<std::pair<uint64_t, size_t>> order;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    const std::string key = caption_key(candidates_[i].caption());
    if (pictures_with.at(key) > 1 || group_size.at(candidates_[i].structure_group) > 1 || key.empty())
      continue;
    order.emplace_back(hash_of(key), i);
  }
  const auto wanted = static_cast<size_t>(options_.held_out);
  const size_t possible = std::min(order.size(), candidates_.size() / 2);
  CUCLIP_CHECK(
      wanted <= possible,
      "data prepare: cannot hold out {} of {}: {} have a caption and a picture that no other pair "
      "resembles, and at least half must remain for training. Use --held-out {} or less, or add data",
      wanted, counted(std::ssize(candidates_), "usable pair"), order.size(), possible);
  std::partial_sort(order.begin(), order.begin() + options_.held_out, order.end());
  std::vector<bool> is_held_out(candidates_.size());
  for (size_t rank = 0; rank < wanted; ++rank) {
    Candidate& candidate = candidates_[order[rank].second];
    is_held_out[order[rank].second] = true;
    candidate.captions.resize(1);
    held_out_.push_back(std::move(candidate));
  }
  std::vector<Candidate> train;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    if (!is_held_out[i]) train.push_back(std::move(candidates_[i]));
  }
  candidates_ = std::move(train);
}

// A key that WebDataset's readers accept: for them the extension begins at the first dot.
std::string shard_key(const std::string& key) {
  std::string out;
  for (char c : key) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '/';
    out += plain ? c : '_';
  }
  return out;
}

std::vector<PendingFile> Preparation::write_split(const char* prefix, const std::vector<Candidate>& pairs) {
  std::unordered_map<std::string, int64_t> used;
  return write_shards(options_.out, prefix, std::ssize(pairs), options_.samples_per_shard, [&](int64_t i) {
    const Candidate& pair = pairs[static_cast<size_t>(i)];
    std::string key = shard_key(pair.key);
    const int64_t times = used[key]++;
    if (times > 0) key += "--" + std::to_string(times + 1);
    return ShardSample{.key = std::move(key),
                       .extension = pair.extension,
                       .picture = spool_.read(pair.bytes),
                       .captions = pair.captions};
  });
}

// Shards of an earlier, larger set of the same name would be read along with the new ones. Other files are
// not ours to remove.
void Preparation::remove_shards(const std::set<std::string>& earlier) {
  for (const std::string& name : earlier) {
    std::error_code error;
    fs::remove(options_.out / name, error);
    if (error) {
      fail("cannot remove {}, of an earlier set: {}", (options_.out / name).string(), error.message());
    }
  }
  std::set<std::string> current(report_.train_shards.begin(), report_.train_shards.end());
  current.insert(report_.held_out_shards.begin(), report_.held_out_shards.end());
  for (const std::string& name : shards_in(options_.out)) {
    if (!current.contains(name)) {
      report_.notes.push_back((options_.out / name).string() +
                              " does not belong to this set and is left where it is");
    }
  }
}

void Preparation::write() {
  remove_temporaries(options_.out, is_of_set);
  report_.train_shards = shard_list("train", std::ssize(candidates_), options_.samples_per_shard);
  report_.held_out_shards = shard_list("held-out", std::ssize(held_out_), options_.samples_per_shard);
  // The new set lies beside the old one, which stays whole, until all of it is there.
  std::vector<PendingFile> held_out_shards = write_split("held-out", held_out_);
  std::vector<PendingFile> train_shards = write_split("train", candidates_);

  std::set<std::string> earlier = listed_shards(options_.out);
  for (const std::string& name : report_.train_shards) earlier.erase(name);
  for (const std::string& name : report_.held_out_shards) earlier.erase(name);
  std::vector<std::string> may_be_there = report_.train_shards;
  may_be_there.insert(may_be_there.end(), earlier.begin(), earlier.end());
  // From here to the end of the work the set in the folder is neither the old one nor the new one.
  write_file_atomic(options_.out / kStatistics, unfinished_statistics(may_be_there, report_.held_out_shards));
  for (PendingFile& shard : held_out_shards) shard.commit();
  for (PendingFile& shard : train_shards) shard.commit();
  for (const auto* names : {&report_.train_shards, &report_.held_out_shards}) {
    for (const std::string& name : *names)
      report_.shard_bytes[name] = static_cast<int64_t>(fs::file_size(options_.out / name));
  }
  remove_shards(earlier);
  CaptionCounter train, held_out;
  for (const Candidate& pair : candidates_) train.add(pair.caption(), std::ssize(pair.captions));
  for (const Candidate& pair : held_out_) held_out.add(pair.caption(), std::ssize(pair.captions));
  report_.train = train.statistics();
  report_.held_out = held_out.statistics();
}

}  // namespace

PrepareReport prepare_dataset(const PrepareOptions& options) {
  CUCLIP_CHECK(!options.from.empty(), "data prepare: expected at least one source (--from), found none");
  CUCLIP_CHECK(options.image_size >= 8, "data prepare: --image-size must be at least 8, found {}",
               options.image_size);
  CUCLIP_CHECK(options.held_out >= 0 && options.max_per_caption > 0 && options.max_per_series > 0 &&
                   options.samples_per_shard > 0,
               "data prepare: limits must be positive");
  check_sources_stay(options);
  make_folder(options.out);
  const FileLock lock(options.out, "the folder " + options.out.string());
  PrepareReport report = Preparation(options).run();
  write_file_atomic(options.out / kStatistics, to_json(report, options));
  return report;
}

}  // namespace cuclip
