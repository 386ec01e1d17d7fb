// The C interface, called in random order with arguments of which many are wrong: it knows which handles are
// in use, never writes beyond what it was given (the address sanitizer looks), and never ends the process.
#include <cuclip/cuclip_c.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <functional>

#include "tests/support/buffer.h"
#include "tests/support/model_on_disk.h"

namespace cuclip::test {
namespace {

constexpr size_t kWidth = 10;  // of the tiny model's features
constexpr int kCalls = 1500;

size_t below(size_t count) { return static_cast<size_t>(rng()() % count); }

template <typename T>
const T& any_of(const std::vector<T>& values) {
  return values[below(values.size())];
}

class Caller {
 public:
  Caller() {
    options_.device = "cpu";
    options_.threads = 1;
    strings_ = {nullptr,
                "",
                " \t",
                "a",
                "a b -c",
                "-",
                "\"",
                "caf\xe9",
                "\xff\xfe\xfd",
                "no {} {}",
                run_.c_str(),
                pictures_.c_str(),
                "/",
                index_.c_str(),
                pictures_file_.c_str(),
                too_long_.c_str()};
    load();
  }
  ~Caller() {
    for (const void* classifier : classifiers_)
      cuclip_classifier_free(static_cast<cuclip_classifier*>(const_cast<void*>(classifier)));
    for (const void* clip : clips_) cuclip_clip_free(static_cast<cuclip_clip*>(const_cast<void*>(clip)));
    for (const void* index : indexes_)
      cuclip_index_free(static_cast<cuclip_index*>(const_cast<void*>(index)));
  }

  void call() {
    static constexpr void (Caller::*kFunctions[])() = {
        &Caller::load,         &Caller::build,          &Caller::load_index,     &Caller::free_one,
        &Caller::encode_texts, &Caller::encode_files,   &Caller::encode_pixels,  &Caller::similarity,
        &Caller::classify,     &Caller::search,         &Caller::search_feature, &Caller::names,
        &Caller::save,         &Caller::new_classifier, &Caller::rank,           &Caller::represent};
    (this->*kFunctions[below(std::size(kFunctions))])();
  }
  int succeeded() const { return succeeded_; }
  int refused_handles() const { return refused_handles_; }

 private:
  // A handle of this kind that is in use, more often than not.
  const void* any_handle(const std::vector<const void*>& in_use) {
    if (!in_use.empty() && below(4) != 0) return any_of(in_use);
    return any_of<const void*>(
        {nullptr, &options_, clips_.empty() ? nullptr : clips_[0], indexes_.empty() ? nullptr : indexes_[0],
         freed_.empty() ? nullptr : any_of(freed_), reinterpret_cast<const void*>(rng()())});
  }
  const cuclip_clip* any_clip() { return static_cast<const cuclip_clip*>(clip_ = any_handle(clips_)); }
  const cuclip_classifier* any_classifier() {
    return static_cast<const cuclip_classifier*>(classifier_ = any_handle(classifiers_));
  }
  const cuclip_index* any_index() {
    return static_cast<const cuclip_index*>(index_used_ = any_handle(indexes_));
  }
  const char* any_string() {
    return below(3) == 0 ? any_of(strings_) : any_of<const char*>({"a", "b c", "{} d"});
  }
  const char* any_picture() { return below(3) == 0 ? any_of(strings_) : pictures_file_.c_str(); }
  std::vector<const char*> any_strings(const std::function<const char*()>& one) {
    std::vector<const char*> all(below(4));
    for (const char*& string : all) string = one();
    return all;
  }
  // The right number, or another; no more than there is memory for.
  static size_t about(size_t right) {
    return below(3) == 0
               ? any_of<size_t>({0, 1, right + 1, right == 0 ? 0 : right - 1, SIZE_MAX, SIZE_MAX / 4})
               : right;
  }

  static bool is_in(const std::vector<const void*>& handles, const void* handle) {
    return std::find(handles.begin(), handles.end(), handle) != handles.end();
  }
  // `right`: every handle that was used is in use.
  bool check(cuclip_status status, bool right) {
    INFO("status " << status << ": " << cuclip_last_error());
    REQUIRE((status >= CUCLIP_OK && status <= CUCLIP_BAD_HANDLE));
    if (!right) REQUIRE(status != CUCLIP_OK);
    if (right) REQUIRE(status != CUCLIP_BAD_HANDLE);
    if (status != CUCLIP_OK) REQUIRE(std::strlen(cuclip_last_error()) > 0);
    succeeded_ += status == CUCLIP_OK;
    refused_handles_ += status == CUCLIP_BAD_HANDLE;
    return status == CUCLIP_OK;
  }
  bool check_clip(cuclip_status status) { return check(status, is_in(clips_, clip_)); }
  bool check_classifier(cuclip_status status) { return check(status, is_in(classifiers_, classifier_)); }
  bool check_index(cuclip_status status) { return check(status, is_in(indexes_, index_used_)); }

  void load() {
    if (clips_.size() >= 3) return;
    cuclip_options options = options_;
    if (below(3) == 0) options.size = about(sizeof(options));
    if (options.size > sizeof(options)) options.size = SIZE_MAX;  // there is nothing behind it
    if (below(4) == 0) options.precision = any_of(strings_);
    if (below(4) == 0) options.threads = any_of<int32_t>({-1, 0, 2, INT32_MAX, INT32_MIN});
    cuclip_clip* clip = nullptr;
    const char* model = below(3) == 0 ? any_of(strings_) : run_.c_str();
    if (check(cuclip_clip_load(model, &options, &clip), true)) clips_.push_back(clip);
    REQUIRE((clip != nullptr) == is_in(clips_, clip));
  }
  void add(cuclip_index* index) {
    indexes_.push_back(index);
    if (indexes_.size() <= 3) return;
    REQUIRE(cuclip_index_free(static_cast<cuclip_index*>(const_cast<void*>(indexes_[0]))) == CUCLIP_OK);
    freed_.push_back(indexes_[0]);
    indexes_.erase(indexes_.begin());
  }
  void build() {
    cuclip_index* index = nullptr;
    const cuclip_clip* clip = any_clip();
    const cuclip_index* earlier = below(2) == 0 ? nullptr : any_index();
    cuclip_index_options options = CUCLIP_INDEX_OPTIONS_INIT;
    options.earlier = earlier;
    if (below(4) == 0) options.progress = [](void*, size_t, size_t) { return 0; };
    const char* folder = below(3) == 0 ? any_of(strings_) : pictures_.c_str();
    const bool right = is_in(clips_, clip) && (!earlier || is_in(indexes_, earlier));
    if (folder && std::strcmp(folder, "/") == 0) return;  // the whole machine
    if (check(cuclip_index_build(clip, folder, &options, &index), right)) add(index);
  }
  void load_index() {
    cuclip_index* index = nullptr;
    const char* file = below(3) == 0 ? any_of(strings_) : index_.c_str();
    if (check_clip(cuclip_index_load(any_clip(), file, &index))) add(index);
  }
  void save() { check_index(cuclip_index_save(any_index(), below(3) == 0 ? nullptr : index_.c_str())); }
  void free_one() {
    if (below(2) == 0) {
      auto* clip = const_cast<cuclip_clip*>(any_clip());
      if (!clip || !check_clip(cuclip_clip_free(clip))) return;
      std::erase(clips_, static_cast<const void*>(clip));
      freed_.push_back(clip);
    } else {
      auto* index = const_cast<cuclip_index*>(any_index());
      if (!index || !check_index(cuclip_index_free(index))) return;
      std::erase(indexes_, static_cast<const void*>(index));
      freed_.push_back(index);
    }
  }
  void encode_texts() {
    const std::vector<const char*> texts = any_strings([this] { return any_string(); });
    std::vector<float> out(texts.size() * kWidth);
    check_clip(cuclip_encode_texts(any_clip(), texts.data(), texts.size(), out.data(), about(out.size())));
  }
  void encode_files() {
    const std::vector<const char*> files = any_strings([this] { return any_picture(); });
    std::vector<float> out(files.size() * kWidth);
    check_clip(cuclip_encode_files(any_clip(), files.data(), files.size(), out.data(), about(out.size())));
  }
  // What it says of its size may be too little, never too much.
  cuclip_rgb any_view() {
    const size_t width = 1 + below(30), height = 1 + below(30);
    pixels_.assign(3 * width * height, 99);
    cuclip_rgb view = {pixels_.data(), width, height, 3 * width};
    if (below(4) == 0) view.data = nullptr;
    if (below(4) == 0) view.width = any_of<size_t>({0, 1, SIZE_MAX});
    if (below(4) == 0) view.height = any_of<size_t>({0, 1, SIZE_MAX});
    if (below(4) == 0)
      view.stride = any_of<size_t>({0, 1, SIZE_MAX, SIZE_MAX / 2 + 1, ~size_t{0} - 3 * width + 1});
    return view;
  }
  void encode_pixels() {
    const cuclip_rgb view = any_view();
    std::vector<float> out(kWidth);
    check_clip(cuclip_encode_pixels(any_clip(), &view, 1, out.data(), about(kWidth)));
  }
  void similarity() {
    const std::vector<float> a(2 * kWidth, below(2) == 0 ? 1 : std::sqrt(0.1f)),
        b(3 * kWidth, std::sqrt(0.1f));
    std::vector<float> out(6);
    check_clip(cuclip_similarity(any_clip(), a.data(), 2, b.data(), 3, out.data(), about(6)));
  }
  void classify() {
    const std::vector<const char*> labels = any_strings([this] { return any_string(); });
    const std::vector<const char*> templates =
        any_strings([this] { return below(4) == 0 ? any_string() : "{}"; });
    std::vector<cuclip_label> ranked(labels.size());
    if (below(2) == 0) {
      check_clip(cuclip_classify_file(any_clip(), any_picture(), labels.data(), labels.size(),
                                      templates.data(), templates.size(), ranked.data()));
    } else {
      const cuclip_rgb view = any_view();
      check_clip(cuclip_classify_pixels(any_clip(), below(5) == 0 ? nullptr : &view, labels.data(),
                                        labels.size(), templates.data(), templates.size(), ranked.data()));
    }
  }
  void new_classifier() {
    const std::vector<const char*> labels = any_strings([this] { return any_string(); });
    cuclip_classifier* classifier = nullptr;
    if (!check_clip(cuclip_classifier_new(any_clip(), labels.data(), labels.size(), nullptr, 0, &classifier)))
      return;
    classifiers_.push_back(classifier);
    if (classifiers_.size() <= 3) return;
    const void* const oldest = classifiers_[0];
    REQUIRE(cuclip_classifier_free(static_cast<cuclip_classifier*>(const_cast<void*>(oldest))) == CUCLIP_OK);
    freed_.push_back(oldest);
    classifiers_.erase(classifiers_.begin());
  }
  void rank() {
    std::vector<cuclip_label> ranked(below(4));
    const std::vector<float> feature(kWidth, below(2) == 0 ? 1 : std::sqrt(0.1f));
    const size_t dimensions = below(3) == 0 ? below(kWidth + 1) : kWidth;
    if (below(2) == 0) {
      check_classifier(
          cuclip_classifier_rank_file(any_classifier(), any_picture(), ranked.data(), ranked.size()));
    } else {
      check_classifier(cuclip_classifier_rank_feature(any_classifier(), feature.data(), dimensions,
                                                      ranked.data(), ranked.size()));
    }
  }
  void represent() {
    const std::vector<const char*> texts = any_strings([this] { return any_string(); });
    const char* kind = below(4) == 0 ? any_string() : below(2) == 0 ? "pooled" : "projected";
    std::vector<float> out(texts.size() * 7 * 24);  // as many as the hidden states
    const size_t width = kind && std::strcmp(kind, "pooled") == 0 ? 24 : kWidth;
    if (below(2) == 0) {
      check_clip(cuclip_represent_texts(any_clip(), kind, texts.data(), texts.size(), out.data(),
                                        about(texts.size() * width)));
    } else {
      check_clip(cuclip_hidden_states(any_clip(), nullptr, texts.data(), texts.size(), out.data(),
                                      about(out.size())));
    }
  }
  void search() {
    std::vector<cuclip_hit> hits(below(12));
    size_t found = 0;
    if (check_index(cuclip_index_search_words(any_index(), any_string(), hits.data(), hits.size(), &found)))
      REQUIRE(found <= hits.size());
  }
  void search_feature() {
    const std::vector<float> feature(kWidth, below(2) == 0 ? 1 : std::sqrt(0.1f));
    std::vector<cuclip_hit> hits(8);
    size_t found = 0;
    const size_t dimensions = below(3) == 0 ? below(kWidth + 1) : kWidth;
    check_index(cuclip_index_search_feature(any_index(), feature.data(), dimensions, hits.data(), hits.size(),
                                            &found));
  }
  void names() {
    std::vector<char> name(below(200));
    size_t size = 0, length = 0;
    const cuclip_index* index = any_index();
    check_index(cuclip_index_size(index, &size));
    check_index(cuclip_index_name(index, about(below(8)), name.data(), name.size(), &length));
  }

  ModelOnDisk disk_;
  const std::string run_ = disk_.run, pictures_ = disk_.pictures, pictures_file_ = disk_.picture(3);
  const std::string index_ = disk_.folder / "p.cuclip-index", too_long_ = std::string(5000, 'x');
  cuclip_options options_ = CUCLIP_OPTIONS_INIT;
  std::vector<const char*> strings_;
  std::vector<uint8_t> pixels_;
  std::vector<const void*> clips_, classifiers_, indexes_, freed_;
  const void *clip_ = nullptr, *classifier_ = nullptr, *index_used_ = nullptr;  // of the last call
  int succeeded_ = 0, refused_handles_ = 0;
};

TEST_CASE("calls in any order with any arguments end in a status") {
  Caller caller;
  for (int i = 0; i < kCalls; ++i) caller.call();
  // Most of what it does has to be tried for the rest to mean anything.
  CHECK(caller.succeeded() > kCalls / 10);
  CHECK(caller.refused_handles() > kCalls / 20);
}

}  // namespace
}  // namespace cuclip::test
