// Writes firmware/test/json.inc: numbers, strings and whole texts as read by JavaScript, which the firmware's reader must match.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { register } from 'tsx/esm/api';

/**
 * The tables as C text.
 * @param {() => number} random in [0, 1)
 */
export function jsonTables(random) {
  const numbers = numberTexts(random).map((text) => `    {${quoted(text)}, ${bits(JSON.parse(text))}},`);
  const texts = wholeTexts(random).map((text) => `    {${quoted(text)}, ${text.length}, ${accepted(text)}},`);
  const strings = stringTexts.map((text) => {
    const utf8 = Buffer.from(JSON.parse(text), 'utf8').toString('latin1');
    return `    {${quoted(text)}, ${text.length}, ${quoted(utf8)}, ${utf8.length}},`;
  });
  const table = (type, name, rows) => `static const ${type} ${name}[] = {\n${rows.join('\n')}\n};`;
  return `/* Made by npm run golden; do not edit. */
/* clang-format off */

${table('number_row', 'number_rows', numbers)}

${table('text_row', 'text_rows', texts)}

${table('string_row', 'string_rows', strings)}
`;
}

const numberTexts = (random) => {
  const integer = (n) => Math.floor(random() * n);
  const digits = (n) =>
    Array.from({ length: n }, (_, i) => (i === 0 ? 1 + integer(9) : integer(10))).join('');
  const made = [];
  const some = (n, make) => {
    for (let i = 0; i < n; i++) made.push(make(i));
  };
  // Any bits that are a number, as written by JavaScript and with more digits than needed.
  const anyDouble = () => {
    const view = new DataView(new ArrayBuffer(8));
    do {
      view.setUint32(0, integer(2 ** 32));
      view.setUint32(4, integer(2 ** 32));
    } while (!Number.isFinite(view.getFloat64(0)));
    return view.getFloat64(0);
  };
  some(400, () => JSON.stringify(anyDouble()));
  some(200, () => JSON.stringify(random() * 10 ** integer(6)));
  some(200, () => JSON.stringify(Math.fround(random() * 4 - 2)));
  some(200, () => anyDouble().toExponential(integer(40)));
  some(300, () => `${integer(2) ? '-' : ''}${digits(1 + integer(25))}e${integer(660) - 340}`);
  some(200, () => `${digits(1 + integer(20))}.${digits(1 + integer(30))}E+${integer(280)}`);
  some(150, () => `0.${'0'.repeat(integer(330))}${digits(1 + integer(20))}`);
  // Exactly half way between two doubles, just below, just above: where rounding decides.
  some(40, () => {
    const middle = 2n * (2n ** 52n + BigInt(integer(2 ** 52))) + 1n;
    return String(middle << BigInt(integer(80)));
  });
  some(24, (i) =>
    halfway(1 + integer(1074), BigInt(integer(2 ** 30)), ['', '0000000000000000001', '0'][i % 3]),
  );
  for (const nudge of ['', '1', '000'])
    made.push(halfway(1074, 0n, nudge), halfway(1074, 2n ** 52n - 1n, nudge));
  return [...made, ...numberEdges];
};

/** (2m + 1) / 2^(n + 1) in all its digits, followed by more. */
function halfway(n, m, behind) {
  const scaled = (2n * m + 1n) * 5n ** BigInt(n + 1);
  return `${scaled}${behind}e-${n + 1 + behind.length}`;
}

const numberEdges = [
  ...'0 -0 0.0 -0.0 0e999999999 1 -1 10 1e0 1E+0 1e-0 123456789012345678901234567890 4.9e-324'.split(' '),
  ...'2.4703282292062327e-324 2.4703282292062328e-324 5e-325 1e-400 1e-99999999999'.split(' '),
  ...'2.2250738585072014e-308 2.2250738585072011e-308 2.225073858507201e-308 1.7976931348623157e308'.split(
    ' ',
  ),
  ...'1.7976931348623158e308 1.7976931348623159e308 -1.797693134862315807e308 1e308 1e309 -1e400'.split(' '),
  ...'9007199254740991 9007199254740992 9007199254740993 9007199254740995 9007199254740997.0000000001'.split(
    ' ',
  ),
  ...'0.1 0.2 0.3 0.30000000000000004 1e22 1e23 8.5e22 1e-22 1e-23 3.1415926535897932384626'.split(' '),
  `1${'0'.repeat(400)}e-400`,
  `0.${'0'.repeat(400)}1e401`,
  `${'9'.repeat(900)}e-900`,
  `1${'0'.repeat(800)}1e-801`,
  `9007199254740993${'0'.repeat(780)}1e-781`,
];

const stringTexts = [
  ...'""¦"a"¦"\\"\\\\\\/\\b\\f\\n\\r\\t"'.split('¦'),
  ...'"\\u0041\\u00e9\\u20AC\\ud83d\\ude00"¦"\\ud83d"¦"\\ude00x"'.split('¦'),
  ...'"\\ud83d\\u0041"¦"\\ud83d\\ud83d\\ude00"'.split('¦'),
  ...'"\\uffff\\u007f\\u0080\\u07ff\\u0800"'.split('¦'),
];

const textEdges = [
  ...'¦ ¦null¦ true ¦\t\r\nfalse\n¦nul¦nulll¦True¦1 2¦[]¦{}¦[[]]¦[{}]'.split('¦'),
  ...'{"a":{}}'.split('¦'),
  ...'[¦]¦{¦}¦[}¦{]¦[1¦[1,¦[1,]¦[,1]¦[,]¦[1 2]¦[1,,2]¦[1]]¦[1],¦{"a"}'.split('¦'),
  ...'{"a":}¦{"a":1¦{"a":1,¦{"a":1,}¦{,"a":1}¦{"a" 1}¦{"a":1 "b":2}¦{a:1}'.split('¦'),
  ...'{\'a\':1}¦{"a":1}}'.split('¦'),
  ...'{1:2}¦{"a":1,"a":2}¦{"":0}¦["a" : 1]¦01¦-¦-01¦+1¦1.¦.5¦1.e5¦1e¦1e+¦-a'.split('¦'),
  ...'0x10'.split('¦'),
  ...'1_0¦NaN¦Infinity¦-Infinity¦1e5¦[-0.0e-0]¦00¦1f¦1.5.5¦1ee5¦"¦"a¦"\\"'.split('¦'),
  ...'"\\x"'.split('¦'),
  ...'"\\u12"¦"\\u12g4"¦"\\U0041"¦"\t"¦"\n"¦"\u0000"¦"\u001f"¦"\u007f"'.split('¦'),
  ...'\u0000¦[1]\u0000¦\f1¦\v1'.split('¦'),
  ...'/**/1¦1//¦[1]x¦undefined¦"a"b¦\\u0022a"¦[true false]¦[tru]¦{"a":nul}'.split('¦'),
  ...'[1,2¦"\\¦"\\u'.split('¦'),
  `${'['.repeat(16)}${']'.repeat(16)}`,
  `${'{"a":'.repeat(15)}[]${'}'.repeat(15)}`,
];

const wholeTexts = (random) => {
  const integer = (n) => Math.floor(random() * n);
  const seed = '{"a":[1,-2.5e3,"x\\u0041",{"b":null,"c":[true,false,{}]},[]],"d e":{"f":"","g":0}}';
  const spare = '{}[]",:\\ue0123-.+tfn \n';
  const mutated = Array.from({ length: 400 }, () => {
    let text = seed;
    for (let n = 1 + integer(2); n > 0; n--) {
      const at = integer(text.length);
      const other = spare[integer(spare.length)];
      const kind = integer(3);
      text = text.slice(0, at) + (kind === 0 ? '' : other) + text.slice(kind === 1 ? at : at + 1);
    }
    return text;
  });
  return [...textEdges, ...mutated];
};

function accepted(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function bits(value) {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  return `0x${view.getBigUint64(0).toString(16).padStart(16, '0')}u`;
}

/** Bytes as a C string; a following digit is never taken as part of an octal escape. */
function quoted(text) {
  const plain = (c) => c >= ' ' && c <= '~' && c !== '"' && c !== '\\' && c !== '?';
  const octal = (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`;
  return `"${[...text].map((c) => (plain(c) ? c : octal(c))).join('')}"`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  register();
  const { seededRandom } = await import('../../src/lib/core/index.ts');
  writeFileSync(new URL('../../firmware/test/json.inc', import.meta.url), jsonTables(seededRandom(9)));
}
