// Indexes, of cuclip/cuclip_c.h.
#include <fmt/core.h>

#include <filesystem>
#include <optional>

#include "models/api/c_support.h"
#include "models/files/message.h"

namespace cuclip {
namespace {

// `earlier` has what its handle stands for, for as long as the options are used.
IndexOptions index_options(const cuclip_index_options* options, std::optional<Index>& earlier) {
  const cuclip_index_options known = known_options(options, CUCLIP_INDEX_OPTIONS_INIT, "index_options");
  IndexOptions build;
  if (known.earlier) build.earlier = &earlier.emplace(Handles::all().get(known.earlier));
  if (known.progress) {
    build.progress = [known](size_t done, size_t total) {
      return known.progress(known.user, done, total) != 0;
    };
  }
  if (known.passed_over) {
    build.passed_over = [known](const std::filesystem::path& file, std::string_view reason) {
      known.passed_over(known.user, file.c_str(), escaped_message(reason).c_str());
    };
  }
  return build;
}

template <typename Query>
void search(const cuclip_index* index, const Query& query, cuclip_hit* hits, size_t count, size_t* found) {
  const std::span<cuclip_hit> out = array(hits, count, "hits");
  given(found, "found");
  const std::vector<SearchHit> all = Handles::all().get(index).search(query, count);
  for (size_t i = 0; i < all.size(); ++i) out[i] = {.row = all[i].row, .similarity = all[i].similarity};
  *found = all.size();
}

}  // namespace
}  // namespace cuclip

using namespace cuclip;

cuclip_status cuclip_index_build(const cuclip_clip* clip, const char* folder,
                                 const cuclip_index_options* options, cuclip_index** index) {
  return guarded([&] {
    *given(index, "index") = nullptr;
    std::optional<Index> earlier;
    const IndexOptions build = index_options(options, earlier);
    *index = Handles::all().add(Index::build(Handles::all().get(clip), given(folder, "folder"), build));
  });
}

cuclip_status cuclip_index_load(const cuclip_clip* clip, const char* file, cuclip_index** index) {
  return guarded([&] {
    *given(index, "index") = nullptr;
    *index = Handles::all().add(Index::load(Handles::all().get(clip), given(file, "file")));
  });
}

cuclip_status cuclip_index_save(const cuclip_index* index, const char* file) {
  return guarded([&] { Handles::all().get(index).save(given(file, "file")); });
}

cuclip_status cuclip_index_free(cuclip_index* index) {
  return guarded([&] {
    if (index) Handles::all().remove(index);
  });
}

cuclip_status cuclip_index_size(const cuclip_index* index, size_t* size) {
  return guarded([&] { *given(size, "size") = Handles::all().get(index).size(); });
}

cuclip_status cuclip_index_missing(const cuclip_index* index, size_t* missing) {
  return guarded([&] { *given(missing, "missing") = Handles::all().get(index).missing(); });
}

cuclip_status cuclip_index_name(const cuclip_index* index, size_t row, char* name, size_t size,
                                size_t* length) {
  return guarded([&] { copy_text(Handles::all().get(index).name(row), name, size, length, "name"); });
}

cuclip_status cuclip_index_search_words(const cuclip_index* index, const char* words, cuclip_hit* hits,
                                        size_t count, size_t* found) {
  return guarded([&] { search(index, std::string(given(words, "words")), hits, count, found); });
}

cuclip_status cuclip_index_search_feature(const cuclip_index* index, const float* feature, size_t dimensions,
                                          cuclip_hit* hits, size_t count, size_t* found) {
  return guarded([&] { search(index, array(feature, dimensions, "feature"), hits, count, found); });
}
