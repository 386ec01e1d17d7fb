/* Which label describes a picture best: classify MODEL PICTURE LABEL...
   cc -std=c99 classify.c -o classify $(pkg-config --cflags --libs cuclip) */
#include <cuclip/cuclip_c.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  if (argc < 4) return fprintf(stderr, "usage: classify MODEL PICTURE LABEL...\n"), 2;
  const size_t count = (size_t)argc - 3;
  const char *const *labels = (const char *const *)argv + 3;
  cuclip_label *ranked = calloc(count, sizeof(*ranked));
  cuclip_clip *clip = NULL;
  cuclip_status status = cuclip_clip_load(argv[1], NULL, &clip);
  if (status == CUCLIP_OK) status = cuclip_classify_file(clip, argv[2], labels, count, NULL, 0, ranked);
  if (status != CUCLIP_OK) fprintf(stderr, "classify: %s\n", cuclip_last_error());
  for (size_t i = 0; status == CUCLIP_OK && i < count; ++i)
    printf("%6.2f %%  %s\n", 100 * ranked[i].probability, labels[ranked[i].index]);
  cuclip_clip_free(clip);
  free(ranked);
  return status;
}
