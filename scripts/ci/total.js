// Sums up: node scripts/ci/total.js VITEST.json STEPS_PASSED STEPS_FAILED. What failed is said once more, so that the end of a long log
// tells it: few failures with more of their messages, many with their names. The last line is `N passed, N failed`.
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';

const [file, passed = '0', failed = '0'] = process.argv.slice(2);

/** A file that did not load has no tests to fail: it counts as one failure itself. */
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

function counted() {
  try {
    return count(file);
  } catch (error) {
    console.error(`no test results: ${error}`);
    return { passed: 0, failed: 1, skipped: 0, failures: [] };
  }
}

const tests = counted();
const shown = tests.failures.slice(0, 60);
const lines = Math.max(1, Math.min(12, Math.floor(120 / shown.length)));
for (const { name, message } of shown) {
  const start = message.split('\n').slice(0, lines);
  console.log([`FAILED ${name}`, ...start.map((line) => `  ${line}`.trimEnd())].join('\n'));
}
if (tests.failures.length > shown.length)
  console.log(`FAILED ${tests.failures.length - shown.length} more tests`);
const total = { passed: tests.passed + Number(passed), failed: tests.failed + Number(failed) };
const skipped = tests.skipped > 0 ? `, ${tests.skipped} skipped` : '';
console.log(`${total.passed} passed, ${total.failed} failed${skipped}`);
process.exitCode = total.failed > 0 || tests.passed === 0 ? 1 : 0;
