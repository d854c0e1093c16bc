/** A program that adds to the number in a file, and records the run in a file next to the project. */
const add = `import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
const [of, to, by, ran] = process.argv.slice(2);
appendFileSync(ran, process.env.AIOT_PIPELINE_STEP + '\\n');
const sum = Number(readFileSync(of, 'utf8')) + Number(by);
await new Promise((done) => setTimeout(done, Number(process.env.MILL_MS ?? 0)));
writeFileSync(to, String(sum));
console.log(JSON.stringify({ sum }));
`;

/**
 * The files of a project with four steps in the shape of a diamond: 1 → 11 → (111, 1011) → their sum in
 * `out/sum.txt`.
 * @param ran file to which each step appends its name
 * @param more additional lines of aiot.yaml
 */
export function millFiles(ran: string, more = ''): Record<string, string> {
  const step = (of: string, by: number) =>
    `run: [node, ./add.mjs, of, to, '${by}', '${ran}'], in: { of: ${of} }, out: { sum: to }`;
  return {
    'seed.txt': '1',
    'add.mjs': add,
    'aiot.yaml': `name: mill
pipeline:
  steps:
    - { name: first, ${step('seed.txt', 10)} }
    - { name: left, ${step('first.sum', 100)} }
    - { name: right, ${step('first.sum', 1000)} }
    - { name: last, ${step('left.sum', 10000)}, needs: [right], publish: { sum: out/sum.txt } }
${more}`,
  };
}
