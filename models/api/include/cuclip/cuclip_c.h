// cuclip for C, and for every language that calls C. C99.
//
//   cuclip_clip *clip = NULL;
//   cuclip_label ranked[2];
//   const char *labels[] = {"cat", "dog"};
//   if (cuclip_clip_load("runs/mine", NULL, &clip) != CUCLIP_OK ||
//       cuclip_classify_file(clip, "photo.jpg", labels, 2, NULL, 0, ranked) != CUCLIP_OK)
//     fprintf(stderr, "%s\n", cuclip_last_error());
//   cuclip_clip_free(clip);
//
// Every function may be called on any thread, on the same handles too. Whatever goes wrong is a status, and
// cuclip_last_error() says what: nothing is printed, and no call ends the process because of its arguments. A
// handle that is NULL, was freed (even by another thread at the same time) or never was one is
// CUCLIP_BAD_HANDLE; a handle is never used again for something else. Where a call fails, it has written
// nothing through the pointers that it was given, except where a function says so.
//
// Structs that begin with their size may grow at their end. A program that was compiled with an older header
// has a smaller one, and what it lacks has its default; what a newer program sets and this library does not
// know is refused. Begin with the INIT of the struct.
//
// Texts are UTF-8 with a NUL at the end, and others are refused; paths are the system's bytes. All arguments
// remain the caller's and are not kept; arrays of results are the caller's too. Counts count elements, not
// bytes. cuclip.h, which this is made of, says more about what is computed.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common.h"

#ifdef __cplusplus
extern "C" {
#endif

/// "0.1.0", of the library that is linked; static. CUCLIP_VERSION_MAJOR and so on are those of this header.
CUCLIP_API const char* cuclip_version(void);

typedef int32_t cuclip_status;
enum {
  CUCLIP_OK = 0,
  CUCLIP_ERROR = 1,        ///< the work failed: no memory left, a full disk
  CUCLIP_INPUT_ERROR = 2,  ///< an argument or an input is wrong
  CUCLIP_BAD_HANDLE = 3    ///< not a handle that is in use
};

/// Why the last call that failed on this thread did so: one line or more of UTF-8, "" if none has failed. It
/// belongs to the library and lasts until the next call on this thread.
CUCLIP_API const char* cuclip_last_error(void);

/// A loaded model, labels to classify by, and the features of many pictures.
typedef struct cuclip_clip cuclip_clip;
typedef struct cuclip_classifier cuclip_classifier;
typedef struct cuclip_index cuclip_index;

/// cuclip::LoadOptions.
typedef struct cuclip_options {
  size_t size;              ///< sizeof(cuclip_options)
  const char* precision;    ///< "fp32", "tf32" or "bf16"; NULL: "fp32"
  const char* device;       ///< "auto", "cpu", "cuda" or "cuda:1"; NULL: "auto"
  const char* tokenizer;    ///< a merges file; NULL: the model's own
  const char* config;       ///< a built-in name or a JSON file; NULL: what lies beside the weights
  int32_t threads;          ///< 0: as many as the process may use
  int32_t batch_invariant;  ///< 0 or 1
  /// Gets `log_user` and one line of UTF-8, which lasts as long as the call; NULL: nothing is told. It must
  /// return, and lives as long as the model and its indexes.
  void (*log)(void* log_user, const char* line);
  void* log_user;
} cuclip_options;
#define CUCLIP_OPTIONS_INIT \
  { sizeof(cuclip_options), NULL, NULL, NULL, NULL, 0, 0, NULL, NULL }

/// Loads what `cuclip --model` takes. options: NULL for the defaults. *clip is a new handle, to be freed
/// with cuclip_clip_free; NULL after a failure.
CUCLIP_API cuclip_status cuclip_clip_load(const char* model, const cuclip_options* options,
                                          cuclip_clip** clip);

/// Gives the handle back. NULL does nothing. Calls that are under way on other threads end as if it were
/// still there, and indexes keep what they need.
CUCLIP_API cuclip_status cuclip_clip_free(cuclip_clip* clip);

/// "runs/mine/checkpoints/step-120", "ViT-B-32, untrained": for people; UTF-8, with a NUL at the end, into
/// text [size]. *length as for cuclip_index_name.
CUCLIP_API cuclip_status cuclip_clip_description(const cuclip_clip* clip, char* text, size_t size,
                                                 size_t* length);

/// The number of values of a feature.
CUCLIP_API cuclip_status cuclip_clip_dimensions(const cuclip_clip* clip, size_t* dimensions);

/// The numbers of values of the encoders' own features ("pooled"), and the number of positions of a text.
CUCLIP_API cuclip_status cuclip_clip_image_width(const cuclip_clip* clip, size_t* width);
CUCLIP_API cuclip_status cuclip_clip_text_width(const cuclip_clip* clip, size_t* width);
CUCLIP_API cuclip_status cuclip_clip_context_length(const cuclip_clip* clip, size_t* positions);

/// What similarities are multiplied by before a softmax.
CUCLIP_API cuclip_status cuclip_clip_logit_scale(const cuclip_clip* clip, float* scale);

/// Pixels of one picture, red, green and blue in one byte each, the top row first; `stride` bytes from row to
/// row, at least 3 * width.
typedef struct cuclip_rgb {
  const uint8_t* data;
  size_t width, height, stride;
} cuclip_rgb;

/// Features of `count` pictures or texts: row i of features [count, dimensions], of unit length, belongs to
/// item i. `values` is the number of elements of `features` and must be count * dimensions. One item that
/// cannot be used fails the call, which then names it: a missing file before anything is encoded, a damaged
/// one before the batch of 64 that it is in. count may be 0.
CUCLIP_API cuclip_status cuclip_encode_files(const cuclip_clip* clip, const char* const* files, size_t count,
                                             float* features, size_t values);
CUCLIP_API cuclip_status cuclip_encode_pixels(const cuclip_clip* clip, const cuclip_rgb* pictures,
                                              size_t count, float* features, size_t values);
CUCLIP_API cuclip_status cuclip_encode_texts(const cuclip_clip* clip, const char* const* texts, size_t count,
                                             float* features, size_t values);

/// The same for files of which some may be missing or damaged: readable [count] becomes 1 for those that
/// could be read. For the others it becomes 0, their rows become zeros, and the log says why.
CUCLIP_API cuclip_status cuclip_encode_readable_files(const cuclip_clip* clip, const char* const* files,
                                                      size_t count, float* features, size_t values,
                                                      uint8_t* readable);

/// What features are made of: row i of `representations` [count, width], of `values` elements, belongs to
/// item i. kind "projected": features before they have unit length, `dimensions` wide; "pooled": the
/// encoder's own, before the projection, cuclip_clip_image_width or cuclip_clip_text_width wide.
CUCLIP_API cuclip_status cuclip_represent_files(const cuclip_clip* clip, const char* kind,
                                                const char* const* files, size_t count,
                                                float* representations, size_t values);
CUCLIP_API cuclip_status cuclip_represent_pixels(const cuclip_clip* clip, const char* kind,
                                                 const cuclip_rgb* pictures, size_t count,
                                                 float* representations, size_t values);
CUCLIP_API cuclip_status cuclip_represent_texts(const cuclip_clip* clip, const char* kind,
                                                const char* const* texts, size_t count,
                                                float* representations, size_t values);

/// cuclip::HiddenStates.
typedef struct cuclip_hidden_states_options {
  size_t size;            ///< sizeof(cuclip_hidden_states_options)
  const char* layer;      ///< "last" or "penultimate"; NULL: "last"
  const char* padding;    ///< "zero" or "end"; NULL: "zero"
  int32_t no_final_norm;  ///< 0 or 1
  int32_t reserved;       ///< 0
} cuclip_hidden_states_options;
#define CUCLIP_HIDDEN_STATES_OPTIONS_INIT \
  { sizeof(cuclip_hidden_states_options), NULL, NULL, 0, 0 }

/// The text encoder's states at all positions into states [count, context length, text width], of `values`
/// elements. options: NULL for the defaults.
CUCLIP_API cuclip_status cuclip_hidden_states(const cuclip_clip* clip,
                                              const cuclip_hidden_states_options* options,
                                              const char* const* texts, size_t count, float* states,
                                              size_t values);

/// Cosine similarities [a_rows, b_rows], row by row, of features [a_rows, dimensions] and [b_rows,
/// dimensions] of unit length. `values` is the number of elements of `similarities`: a_rows * b_rows.
CUCLIP_API cuclip_status cuclip_similarity(const cuclip_clip* clip, const float* a, size_t a_rows,
                                           const float* b, size_t b_rows, float* similarities, size_t values);

/// How well a label describes a picture.
typedef struct cuclip_label {
  size_t index;        ///< its place among those that were given
  double probability;  ///< softmax over the labels
  float similarity;    ///< cosine
} cuclip_label;

/// ranked [label_count] becomes all labels, the best first. Each label takes the place of {} in each
/// template, and stands for the mean of these texts; template_count 0: "a photo of a {}." Encodes the labels
/// each time: for more than one picture make a classifier.
CUCLIP_API cuclip_status cuclip_classify_file(const cuclip_clip* clip, const char* file,
                                              const char* const* labels, size_t label_count,
                                              const char* const* templates, size_t template_count,
                                              cuclip_label* ranked);
CUCLIP_API cuclip_status cuclip_classify_pixels(const cuclip_clip* clip, const cuclip_rgb* picture,
                                                const char* const* labels, size_t label_count,
                                                const char* const* templates, size_t template_count,
                                                cuclip_label* ranked);

/// Encodes labels once, to classify any number of pictures by. *classifier is a new handle, to be freed with
/// cuclip_classifier_free; NULL after a failure.
CUCLIP_API cuclip_status cuclip_classifier_new(const cuclip_clip* clip, const char* const* labels,
                                               size_t label_count, const char* const* templates,
                                               size_t template_count, cuclip_classifier** classifier);

/// As cuclip_clip_free.
CUCLIP_API cuclip_status cuclip_classifier_free(cuclip_classifier* classifier);

/// ranked [label_count] becomes all labels, the best first; label_count must be that of the classifier's
/// labels. feature [dimensions]: one row of features, of unit length.
CUCLIP_API cuclip_status cuclip_classifier_rank_file(const cuclip_classifier* classifier, const char* file,
                                                     cuclip_label* ranked, size_t label_count);
CUCLIP_API cuclip_status cuclip_classifier_rank_pixels(const cuclip_classifier* classifier,
                                                       const cuclip_rgb* picture, cuclip_label* ranked,
                                                       size_t label_count);
CUCLIP_API cuclip_status cuclip_classifier_rank_feature(const cuclip_classifier* classifier,
                                                        const float* feature, size_t dimensions,
                                                        cuclip_label* ranked, size_t label_count);

/// cuclip::IndexOptions. The functions get `user`, are called on the thread that called cuclip_index_build,
/// and must return.
typedef struct cuclip_index_options {
  size_t size;  ///< sizeof(cuclip_index_options)
  /// What it has of the folder's pictures unchanged is not encoded again; NULL: nothing.
  const cuclip_index* earlier;
  /// Called after each batch of 64 with how many of the pictures that had to be read are done. If it returns
  /// 0, the call ends with what there is: see cuclip_index_missing. NULL: nobody is asked.
  int (*progress)(void* user, size_t done, size_t total);
  /// Gets the path of each picture that cannot be read, once, and a message that names it, which both last as
  /// long as the call. The log has it too. NULL: only the log has it.
  void (*passed_over)(void* user, const char* file, const char* reason);
  void* user;
} cuclip_index_options;
#define CUCLIP_INDEX_OPTIONS_INIT \
  { sizeof(cuclip_index_options), NULL, NULL, NULL, NULL }

/// The index of the pictures in a folder and below it; those that cannot be read are passed over. options:
/// NULL for the defaults. *index is a new handle, to be freed with cuclip_index_free; NULL after a failure.
CUCLIP_API cuclip_status cuclip_index_build(const cuclip_clip* clip, const char* folder,
                                            const cuclip_index_options* options, cuclip_index** index);

/// Reads what cuclip_index_save or `cuclip index` wrote, with the same model. *index as above.
CUCLIP_API cuclip_status cuclip_index_load(const cuclip_clip* clip, const char* file, cuclip_index** index);

/// Atomic. Replaces only an index or an empty file.
CUCLIP_API cuclip_status cuclip_index_save(const cuclip_index* index, const char* file);

/// As cuclip_clip_free.
CUCLIP_API cuclip_status cuclip_index_free(cuclip_index* index);

/// The number of pictures.
CUCLIP_API cuclip_status cuclip_index_size(const cuclip_index* index, size_t* size);

/// Of an index that is unfinished, because it was stopped or interrupted, the number of pictures that it has
/// not come to; otherwise 0. Given to cuclip_index_build as the earlier one, it is finished.
CUCLIP_API cuclip_status cuclip_index_missing(const cuclip_index* index, size_t* missing);

/// The path of picture `row`, or its key in the index of a data set: the system's bytes, with a NUL at the
/// end, into name [size]. *length, which may be NULL, becomes the number of bytes without the NUL, also when
/// `size` is too small for them (CUCLIP_INPUT_ERROR). With size 0, name may be NULL: the call only measures.
CUCLIP_API cuclip_status cuclip_index_name(const cuclip_index* index, size_t row, char* name, size_t size,
                                           size_t* length);

/// A picture that was found.
typedef struct cuclip_hit {
  size_t row;
  float similarity;  ///< cosine
} cuclip_hit;

/// The *found pictures that fit best, at most `count` (which may be 0), the best first, into hits [count].
/// The words mean what they mean to `cuclip search`; a feature has the model's number of dimensions.
CUCLIP_API cuclip_status cuclip_index_search_words(const cuclip_index* index, const char* words,
                                                   cuclip_hit* hits, size_t count, size_t* found);
CUCLIP_API cuclip_status cuclip_index_search_feature(const cuclip_index* index, const float* feature,
                                                     size_t dimensions, cuclip_hit* hits, size_t count,
                                                     size_t* found);

#ifdef __cplusplus
}
#endif
