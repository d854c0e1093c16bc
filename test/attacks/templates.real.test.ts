import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { parseProject } from '../../src/lib/core/project.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { emitted } from '../../src/lib/model/emit/emit.js';
import { tablesHeader } from '../../src/lib/project/firmware/headers.js';
import { hostileLines as lines, hostileTexts as texts } from '../support/hostile-texts.js';
import { mlp } from '../support/networks.js';
import { describeReal } from '../support/real.js';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'aiot-templates-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

describeReal('cc', 'generated C code', () => {
  it('contains labels and units unchanged, and never as code', () => {
    const labels = Object.fromEntries(texts.map((text) => [text, [text]]));
    const config = parseProject(
      stringify({
        name: 'own',
        stream: { topic: 's', fields: { x: { unit: texts.join(' ') } } },
        signal: { rate: 10, window: 4, stride: 4 },
        model: { labels },
      }),
      'it',
    );
    writeFileSync(join(dir, 'tables.h'), tablesHeader(config));
    const graph = mlp(seededRandom(1), [2, texts.length]);
    graph.tensors[graph.inputs[0]!]!.name = lines.join(' ');
    for (const name of lines) {
      const contents = writeTflite(graph);
      for (const [path, text] of emitted('c', { out: dir, graph, contents, name, classes: texts }))
        writeFileSync(path, text);
      const tflm = emitted('tflm', { out: join(dir, 'm.tflite'), graph, contents, name, classes: texts });
      // Outside comments and strings, the code does not depend on the name.
      const bare = [...tflm.values()].map((text) => text.replaceAll(/\/\/.*|"(\\.|[^"\\])*"/g, ''));
      expect(bare.join('').match(/touch|error|OR 1|alert/g), name).toBeNull();
      expect([...tflm.values()].join('').match(/\\$/gm), name).toBeNull();
      execFileSync('cc', ['-std=c11', '-trigraphs', '-Werror', '-fsyntax-only', join(dir, 'model.c')], {
        stdio: 'pipe',
      });
    }
    const main = `#include <stdio.h>
#include "tables.h"
#include "model.h"
int main(void) {
  puts(aiot_field_units[0]);
  for (int i = 0; i < AIOT_LABELS; i++) puts(aiot_label_names[i]);
  for (int i = 0; i < MODEL_CLASS_COUNT; i++) puts(model_class_names[i]);
}
`;
    writeFileSync(join(dir, 'main.c'), main);
    const flags = ['-std=c11', '-trigraphs', '-w', '-I', dir];
    execFileSync('cc', [...flags, join(dir, 'main.c'), join(dir, 'model.c'), '-o', join(dir, 'main')], {
      stdio: 'pipe',
    });
    const said = execFileSync(join(dir, 'main'), { cwd: dir, encoding: 'utf8' });
    expect(said).toBe([texts.join(' '), ...texts, ...texts, ''].join('\n'));
  }, 60_000);
});
