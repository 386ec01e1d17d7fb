// cuclip::Index, of cuclip/cuclip.h.
#include <fmt/core.h>

#include <algorithm>
#include <optional>

#include "models/api/clip_impl.h"
#include "models/inference/folder_indexer.h"
#include "models/inference/search_query.h"
#include "models/inference/zero_shot.h"

namespace cuclip {

struct [[gnu::visibility("hidden")]] Index::Impl {
  /// `made` has its features in the host's memory.
  Impl(std::shared_ptr<const Clip::Impl> of, FeatureIndex made);

  static void run(const Clip::Impl& clip, FolderIndexer& indexer, const IndexOptions& options);
  std::vector<SearchHit> search(Context & context, const Tensor& query, size_t count) const;

  const std::shared_ptr<const Clip::Impl> clip;
  FeatureIndex index;  // with its features where the model runs
};

Index::Impl::Impl(std::shared_ptr<const Clip::Impl> of, FeatureIndex made)
    : clip(std::move(of)), index(std::move(made)) {
  const Clip::Impl::Lease worker(*clip);
  keep_norms(worker->context, index);
  worker.share();
}

std::vector<SearchHit> Index::Impl::search(Context& context, const Tensor& query, size_t count) const {
  std::vector<SearchHit> hits;
  const size_t most = std::min(count, index.names.size());
  for (const Hit& hit : search_index(context, index, query, static_cast<int64_t>(most))) {
    hits.push_back(
        {.name = index.name(hit.row), .row = static_cast<size_t>(hit.row), .similarity = hit.similarity});
  }
  return hits;
}

Index::Index(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Index::Index(const Index&) = default;
Index& Index::operator=(const Index&) = default;
Index::~Index() = default;

namespace {

// What IndexOptions::progress throws past the indexer.
struct Stopped {};

// The rows of `earlier` that an index like `about` of `width` elements may have; otherwise says why there are
// none.
std::optional<FeatureIndex> reusable(const FeatureIndex& earlier, const FeatureIndex& about, int64_t width,
                                     Context& host, std::vector<std::string>& notes) {
  if (earlier.names.empty()) return std::nullopt;
  const std::string why = why_not_reusable(earlier, about, width);
  if (!why.empty()) {
    notes.push_back(fmt::format("the earlier index {}; all pictures are encoded anew", why));
    return std::nullopt;
  }
  FeatureIndex reused = earlier;
  reused.features = reused.features.to(host);
  reused.rnorm = {};
  return reused;
}

}  // namespace

// Until all is done or the user stops it. Says what it meets, as it meets it.
void Index::Impl::run(const Clip::Impl& clip, FolderIndexer& indexer, const IndexOptions& options) {
  size_t passed_over = 0, damaged = 0;  // that have been told
  const auto tell = [&] {
    for (; passed_over < indexer.passed_over().size(); ++passed_over) {
      const UnreadablePicture& picture = indexer.passed_over()[passed_over];
      clip.note({"passed over: " + picture.reason});
      if (options.passed_over) options.passed_over(picture.path, picture.reason);
    }
    for (; damaged < indexer.damaged().size(); ++damaged) clip.note({indexer.damaged()[damaged]});
  };
  try {
    indexer.run([&](int64_t done) {
      tell();
      if (!options.progress) return;
      if (!options.progress(static_cast<size_t>(done), static_cast<size_t>(indexer.to_do()))) throw Stopped();
    });
  } catch (const Stopped&) {  // what there is can be used
  }
}

Index Index::build(const Clip& clip, const std::filesystem::path& folder, const IndexOptions& options) {
  const Clip::Impl& model = *clip.impl_;
  std::vector<std::string> notes;
  std::vector<PictureFile> files = list_pictures(folder, notes);
  const Clip::Impl::Lease worker(model);
  FeatureIndex about = index_to_make(folder, worker->model, model.spec, model.precision);
  std::optional<FeatureIndex> earlier;
  if (options.earlier) {
    about.stored = options.earlier->impl_->index.stored;
    earlier = reusable(options.earlier->impl_->index, about, worker->model.config().embed_dim,
                       worker->context.host(), notes);
  }
  model.note(notes);
  FolderIndexer indexer(worker->model, std::move(about), folder, std::move(files), std::move(earlier));
  Impl::run(model, indexer, options);
  return Index(std::make_shared<const Impl>(clip.impl_, indexer.snapshot()));
}

Index Index::load(const Clip& clip, const std::filesystem::path& file) {
  const Clip::Impl& model = *clip.impl_;
  const Clip::Impl::Lease worker(model);
  FeatureIndex index = load_index(worker->context.host(), file);
  require_model_of(index, file.string(), worker->model, model.loaded.description);
  if (index.missing > 0) {
    model.note({fmt::format("{} is unfinished, without {} pictures of {}", file.string(), index.missing,
                            index.source)});
  }
  return Index(std::make_shared<const Impl>(clip.impl_, std::move(index)));
}

void Index::save(const std::filesystem::path& file) const {
  CUCLIP_CHECK(may_become_index(file), "{}: expected an index to replace, or nothing; choose another name",
               file.string());
  CUCLIP_CHECK(size() > 0,
               "{}: the index has no picture yet, since it was stopped; build it on from this one",
               file.string());
  save_index(impl_->index, file);
}

size_t Index::size() const { return impl_->index.names.size(); }

size_t Index::missing() const { return static_cast<size_t>(impl_->index.missing); }

std::string Index::name(size_t row) const {
  CUCLIP_CHECK(row < size(), "index: expected a row below {}, got {}", size(), row);
  return impl_->index.name(static_cast<int64_t>(row));
}

std::vector<SearchHit> Index::search(const std::string& words, size_t count) const {
  const std::vector<std::vector<QueryTerm>> queries = {parse_given_query(words, "search: the words")};
  const Clip::Impl& clip = *impl_->clip;
  const Clip::Impl::Lease worker(clip);
  const Tensor query =
      encode_queries(worker->model, clip.loaded.tokenizer(), queries, Tensor(), load_templates("none"));
  return impl_->search(worker->context, query, count);
}

std::vector<SearchHit> Index::search(std::span<const float> feature, size_t count) const {
  const Clip::Impl::Lease worker(*impl_->clip);
  const Tensor query = row_of(worker->context, feature, impl_->index.features.size(1), "search");
  return impl_->search(worker->context, query, count);
}

}  // namespace cuclip
