import { generateKeyPair, publicKeyOf } from '../../src/lib/core/crypto.js';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { verifyBirth } from '../../src/lib/formats/manifest/birth.js';
import { signPayload, trustRootOf } from '../../src/lib/formats/manifest/envelope.js';
import { verifyManifest } from '../../src/lib/formats/manifest/manifest.js';
import { writeSavedModel } from '../../src/lib/formats/saved-model.js';
import { checkGraph } from '../../src/lib/formats/tflite/check.js';
import { readMetadata } from '../../src/lib/formats/tflite/metadata.js';
import { outlineTflite } from '../../src/lib/formats/tflite/outline.js';
import { importTflite, readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { unpackAny } from '../../src/lib/model/bundle/pack.js';
import { readGraphDef } from '../../src/lib/model/import/saved-model/graph-def.js';
import { tinyBundle } from '../../test/support/bundle.js';
import { embeddingGraph } from '../../test/support/integer-op-graphs.js';
import { cnn, mlp } from '../../test/support/networks.js';
import { oneOpGraphs } from '../../test/support/one-op-graphs.js';
import { asJson, filesIn } from '../seeds.js';
import type { Target } from '../types.js';
import { networkTargets } from './networks.js';

const networks = () => [
  ...[mlp(seededRandom(1), [4, 3, 2]), cnn(seededRandom(2))],
  ...[embeddingGraph(seededRandom(3), 'int8'), oneOpGraphs.READ_VARIABLE!(seededRandom(4))],
];
const key = generateKeyPair().privatePem;
const trust = trustRootOf(publicKeyOf(key));

/** Targets that read models and signed documents. */
export const models: readonly Target[] = [
  ...networkTargets,
  {
    name: 'formats/tflite',
    seeds: () => [
      ...networks().map((graph) => writeTflite(graph)),
      ...filesIn('../shared/data/motor-mlp', '.tflite'),
    ],
    run: (input) => checkGraph(readTflite(input)),
    words: ['TFL3'],
  },
  {
    name: 'formats/tflite-import',
    seeds: () => [
      ...networks().map((graph) => writeTflite(graph)),
      ...filesIn('../shared/data/motor-mlp', '.tflite'),
    ],
    run: (input) => importTflite(input).notes,
    words: ['TFL3'],
  },
  {
    name: 'formats/tflite-outline',
    seeds: () => networks().map((graph) => writeTflite(graph)),
    run: (input) => outlineTflite(input),
  },
  {
    name: 'formats/tflite-metadata',
    seeds: () => networks().map((graph) => writeTflite(graph)),
    run: (input) => readMetadata(input),
  },
  {
    name: 'model/saved-model',
    seeds: () => [writeSavedModel(networks()[0]!)],
    run: (input) => readGraphDef(input),
  },
  { name: 'model/bundle', seeds: () => [tinyBundle()], run: (input) => unpackAny(input) },
  {
    name: 'formats/manifest',
    seeds: () => [JSON.stringify(signPayload({ spec: 'aiot-manifest/1' }, key))],
    run: asJson((value) => verifyManifest(value, trust)),
    words: ['"__proto__"', 'keyid', 'toString'],
  },
  {
    name: 'formats/birth',
    seeds: () => [JSON.stringify(signPayload({ spec: 'aiot-birth/1' }, key))],
    run: asJson((value) => verifyBirth(value, trust)),
  },
];
