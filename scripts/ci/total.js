// Prints a summary: node scripts/ci/total.js STEPS_PASSED STEPS_FAILED VITEST.json…. Failures are repeated, because CI systems often keep
// only the end of a long log. If there are many, only their names are printed. The last line is `N passed, N failed`.
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';

const [passed = '0', failed = '0', ...files] = process.argv.slice(2);

/** A file that failed to load has no failed tests, so it counts as one failure. */
function count(path) {
  const { testResults } = JSON.parse(readFileSync(path, 'utf8'));
  const tests = testResults.flatMap(({ assertionResults }) => assertionResults);
  const broken = testResults.filter(
    ({ status, assertionResults }) =>
      status === 'failed' && !assertionResults.some((test) => test.status === 'failed'),
  );
  const by = (...states) => tests.filter(({ status }) => states.includes(status)).length;
  return {
    passed: by('passed'),
    failed: by('failed') + broken.length,
    skipped: by('pending', 'skipped', 'todo'),
    failures: [
      ...broken.map(({ name, message }) => ({ name: relative('.', name), message })),
      ...testResults.flatMap(({ name, assertionResults }) =>
        assertionResults
          .filter(({ status }) => status === 'failed')
          .map(({ fullName, failureMessages }) => ({
            name: `${relative('.', name)} > ${fullName}`,
            message: failureMessages.join('\n'),
          })),
      ),
    ],
  };
}

function counted(file) {
  try {
    return count(file);
  } catch (error) {
    console.error(`no test results: ${error}`);
    return { passed: 0, failed: 1, skipped: 0, failures: [] };
  }
}

const rings = files.map(counted);
const sum = (name) => rings.reduce((total, ring) => total + ring[name], 0);
const tests = { passed: sum('passed'), failed: sum('failed'), skipped: sum('skipped') };
const failures = rings.flatMap((ring) => ring.failures);
const shown = failures.slice(0, 60);
const lines = Math.max(1, Math.min(12, Math.floor(120 / shown.length)));
for (const { name, message } of shown) {
  const start = message.split('\n').slice(0, lines);
  console.log([`FAILED ${name}`, ...start.map((line) => `  ${line}`.trimEnd())].join('\n'));
}
if (failures.length > shown.length) console.log(`FAILED ${failures.length - shown.length} more tests`);
const total = { passed: tests.passed + Number(passed), failed: tests.failed + Number(failed) };
const skipped = tests.skipped > 0 ? `, ${tests.skipped} skipped` : '';
console.log(`${total.passed} passed, ${total.failed} failed${skipped}`);
process.exitCode = total.failed > 0 || total.passed === 0 || rings.some((ring) => ring.passed === 0) ? 1 : 0;
