import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Creates a substitute for Coral's compiler, which exists only for x86-64 and is not in Debian. It accepts the same
 * arguments, and writes the same files and table. Without `maps`, it maps no operator.
 */
export async function standInCompiler(folder: string, maps = true): Promise<string> {
  await mkdir(folder, { recursive: true });
  const file = join(folder, 'edgetpu_compiler');
  const mark = maps ? 'edgetpu-custom-op' : 'nothing';
  await writeFile(
    file,
    `#!/bin/sh
[ "$1" = -s ] && [ "$2" = -o ] || { echo "expected -s -o DIR FILE" >&2; exit 2; }
name=$(basename "$4" .tflite)
[ "$(head -c 8 "$4" | tail -c 4)" = TFL3 ] || { echo "ERROR: Unable to parse model." >&2; exit 1; }
{ cat "$4"; printf ${mark}; } > "$3/\${name}_edgetpu.tflite"
cat <<LOG
Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 24 ms.

Input model: $4
Number of operations that will run on Edge TPU: 2
Number of operations that will run on CPU: 1

Operator                       Count      Status

FULLY_CONNECTED                2          Mapped to Edge TPU
SOFTMAX                        1          Max 16000 elements supported
Compilation child process completed within timeout period.
LOG
`,
  );
  await chmod(file, 0o755);
  return file;
}
