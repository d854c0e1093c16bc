import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { pushTiny } from '../support/bundle.js';
import { ask, type TestGuide, testGuide } from '../support/guide.js';
import { motionBundle, motionSamples } from '../support/motion-bundle.js';
import { runProgram, told } from '../support/programs.js';
import { describeReal, python } from '../support/real.js';

let own: TestGuide;
let folder: string;

beforeAll(async () => {
  own = await testGuide();
  folder = await mkdtemp(join(tmpdir(), 'aiot-guide-'));
}, 30_000);

afterAll(async () => {
  await own?.stop();
  await rm(folder, { recursive: true, force: true });
});

const run = async (program: string, args: string[]) => {
  const result = await runProgram(program, args, { cwd: folder, timeoutMs: 30_000 });
  expect(result.code, told(program, args, result)).toBe(0);
  return result.stdout;
};

/**
 * A program that uses the methods of the guide's steps: urllib without certificate checks, redirects,
 * minidom, and unzip.
 */
const steps = `
import ssl, sys, io, zipfile, urllib.request
from xml.dom import minidom
base = sys.argv[1]
context = ssl._create_unverified_context()
def get(path, data=None, headers={}):
    return urllib.request.urlopen(urllib.request.Request(base + path, data=data, headers=headers), context=context)
boundary = 'f00'
form = ('--f00\\r\\nContent-Disposition: form-data; name="file"; filename="normalized_training_data_2022-05-06T20:36:11:1.csv"\\r\\n\\r\\n'
        '1,2,3\\n\\r\\n--f00--\\r\\n').encode()
answer = get('/uploadNormalizedData', form, {'Content-Type': 'multipart/form-data; boundary=f00'})
assert (answer.status, answer.read()) == (200, b'')
listing = minidom.parse(get('/normalized_training_data/'))
for link in listing.getElementsByTagName('a'):
    href, text = link.getAttribute('href'), link.childNodes[0].nodeValue
    assert get('/normalized_training_data/' + '/' + href).read() == b'1,2,3\\n'
    assert get('/normalized_training_data/' + text).read() == b'1,2,3\\n'
answer = get('/full')
assert answer.url.endswith('/full/')
names = [link.getAttribute('href') for link in minidom.parse(answer).getElementsByTagName('a')]
archive = zipfile.ZipFile(io.BytesIO(get('/full/' + names[-1]).read()))
assert archive.testzip() is None
print(*archive.namelist())
`;

describeReal('python3', 'the guide’s steps in Python', () => {
  it('upload a file, read listings as XML, follow redirects and unpack a trained model', async () => {
    await pushTiny(own.client, own.key);
    await writeFile(join(folder, 'steps.py'), steps);
    const names = await run('python3', ['steps.py', own.urls.models]);
    expect(names.trim().split(' ')).toEqual(
      [
        'saved_model.pb',
        ...['model.tflite', 'bundle.json', 'golden.json', 'lineage.json'].map(
          (name) => `assets.extra/${name}`,
        ),
      ].map((name) => `model/${name}`),
    );
  }, 60_000);
});

describeReal('curl', 'curl', () => {
  it('uploads 32 MiB and downloads it again, in full and by range', async () => {
    const bytes = Buffer.alloc(32 * 1024 ** 2, 'row,1,2,3\n');
    await writeFile(join(folder, 'big.csv'), bytes);
    await writeFile(join(folder, 'ca.pem'), own.ca);
    const tls = ['-sS', '--fail', '--cacert', 'ca.pem'];
    expect(await run('curl', [...tls, '-F', 'file=@big.csv', `${own.urls.datasets}/upload`])).toBe('');
    await run('curl', [...tls, '-o', 'back.csv', `${own.urls.datasets}/big.csv`]);
    expect(bytes.equals(await readFile(join(folder, 'back.csv')))).toBe(true);
    expect(await run('curl', [...tls, '-r', '10-19', `${own.urls.models}/big.csv`])).toBe('row,1,2,3\n');
  }, 60_000);
});

const lite = `
import sys, numpy
from ai_edge_litert.interpreter import Interpreter
net = Interpreter(model_path='model.tflite')
net.allocate_tensors()
into, out = net.get_input_details()[0], net.get_output_details()[0]
assert into['dtype'] == numpy.float32 and out['dtype'] == numpy.float32
net.set_tensor(into['index'], numpy.fromfile('input.bin', numpy.float32).reshape(into['shape']))
net.invoke()
print(*[repr(float(v)) for v in net.get_tensor(out['index']).flatten()])
`;

describeReal('litert', 'LiteRT with a model from /quantized/', () => {
  it('loads the padded model, and returns the outputs of the bundle as floats', async () => {
    const content = motionBundle();
    await pushTiny(own.client, own.key, { name: 'motion', bundle: content });
    const { text } = await ask(own.urls.models, '/quantized/', { ca: own.ca });
    const names = [...text.matchAll(/>([^<]+-model\.tflite)</g)].map(([, name]) => name as string);
    const { body } = await ask(own.urls.models, `/quantized/${names.at(-1)}`, { ca: own.ca });
    expect(body.length).toBeGreaterThanOrEqual(11_148);
    const { model, info } = unpackBundle(content);
    const values = motionSamples(50, 9).flat();
    const { input, output } = info;
    const quantized = Int8Array.from(values, (value) =>
      Math.max(-128, Math.min(127, Math.round(value / input.scale) + input.zeroPoint)),
    );
    const answered = createInterpreter(readTflite(model)).invoke(quantized).slice();
    const expected = [...answered].map((q) => Math.fround((Number(q) - output.zeroPoint) * output.scale));
    await writeFile(join(folder, 'model.tflite'), body);
    await writeFile(join(folder, 'input.bin'), Buffer.from(Float32Array.from(values).buffer));
    await writeFile(join(folder, 'lite.py'), lite);
    const answer = (await run(python('litert'), ['lite.py'])).trim().split(' ').map(Number);
    expect(answer).toHaveLength(expected.length);
    answer.forEach((value, index) => {
      expect(Math.abs(value - (expected[index] ?? Number.NaN))).toBeLessThan(1e-6);
    });
  }, 60_000);
});
