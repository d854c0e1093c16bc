/*
 * Runs networks in the core's interpreter, and decision trees, for tests that compare them with other interpreters.
 *
 *   run_models LIST
 *
 * LIST has three lines for each network: its .tflite file, a file of consecutive inputs, and the output file. The program prints
 * a line for each network: `ok ARENA_BYTES`, or the error code. Inputs and outputs have the types of the tensors; those of decision trees are
 * float32 features and int32 sums.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aiot/forest.h"
#include "aiot/model.h"

enum { ARENA_BYTES = 1 << 20, LINE_BYTES = 4096 };

typedef struct {
  uint8_t *data;
  size_t bytes;
} contents;

/* The buffer is exactly as large as the file, so that the sanitizer detects a read beyond its end. */
static contents read_file(const char *path) {
  FILE *file = fopen(path, "rb");
  if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
    perror(path);
    exit(1);
  }
  const contents read = {malloc((size_t)ftell(file)), (size_t)ftell(file)};
  rewind(file);
  if (fread(read.data, 1, read.bytes, file) != read.bytes) exit(1);
  fclose(file);
  return read;
}

static bool read_line(FILE *list, char *line) {
  if (fgets(line, LINE_BYTES, list) == NULL) return false;
  line[strcspn(line, "\n")] = '\0';
  return true;
}

static void run_forest(const aiot_forest *forest, const contents *input, const char *path) {
  FILE *out = fopen(path, "wb");
  if (out == NULL) exit(1);
  const size_t taken = forest->inputs * sizeof(float);
  float *features = malloc(taken);
  int32_t *sums = malloc(forest->outputs * sizeof(int32_t));
  for (size_t at = 0; at + taken <= input->bytes; at += taken) {
    memcpy(features, input->data + at, taken);
    aiot_forest_sums(forest, features, sums);
    fwrite(sums, sizeof(int32_t), forest->outputs, out);
  }
  free(features);
  free(sums);
  fclose(out);
  printf("ok 0\n");
}

static void run(const contents *model, const contents *input, const char *path, uint8_t *memory) {
  aiot_arena arena;
  aiot_arena_init(&arena, memory, ARENA_BYTES);
  aiot_model *opened = NULL;
  const aiot_code code = aiot_interpreter.open(model->data, model->bytes, &arena, &opened);
  FILE *out = fopen(path, "wb");
  if (out == NULL) exit(1);
  if (code != AIOT_OK) {
    printf("%s\n", aiot_code_name(code));
  } else {
    const aiot_tensor *from = aiot_interpreter.input(opened), *to = aiot_interpreter.output(opened);
    const size_t taken = from->count * aiot_type_bytes(from->type), given = to->count * aiot_type_bytes(to->type);
    uint8_t *output = malloc(given);
    /* The values that variables have after this first run must be gone after a reset. */
    if (input->bytes >= taken) aiot_interpreter.invoke(opened, input->data, output);
    aiot_interpreter.reset(opened);
    for (size_t at = 0; at + taken <= input->bytes; at += taken) {
      aiot_interpreter.invoke(opened, input->data + at, output);
      fwrite(output, 1, given, out);
    }
    free(output);
    printf("ok %zu\n", arena.used);
  }
  fclose(out);
}

int main(int count, char **arguments) {
  if (count != 2) return 2;
  FILE *list = fopen(arguments[1], "r");
  if (list == NULL) return 2;
  uint8_t *memory = malloc(ARENA_BYTES);
  static char model_path[LINE_BYTES], input_path[LINE_BYTES], output_path[LINE_BYTES];
  while (read_line(list, model_path) && read_line(list, input_path) && read_line(list, output_path)) {
    const contents model = read_file(model_path), input = read_file(input_path);
    aiot_forest forest;
    if (aiot_forest_open(model.data, model.bytes, &forest) == AIOT_OK) run_forest(&forest, &input, output_path);
    else run(&model, &input, output_path, memory);
    free(model.data);
    free(input.data);
  }
  fclose(list);
  free(memory);
  return 0;
}
