import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab } from '../support/mqtt-lab.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { numbersOf } from './mqtt-statements/statement.js';
import { statements } from './mqtt-statements/statements.js';

let own: TestPlatform;
const errors: string[] = [];
beforeAll(async () => {
  own = await testPlatform({
    ...{ plain: { port: 0 }, wsPort: 0 },
    log: (line) => {
      if ((JSON.parse(line) as { level: number }).level >= 50) errors.push(line);
    },
  });
});
afterAll(async () => {
  await own.stop();
  // Nothing that a client sends may cause an internal error in the broker.
  expect(errors).toEqual([]);
});

const labFor = (version: 4 | 5) =>
  new Lab(version, {
    ...{ url: own.platform.urls.mqtt ?? '', wss: own.platform.urls.wss ?? '', ca: own.ca },
    ...{ username: 'operator', password: own.token },
  });

describe.each([
  ['3.1.1', 4],
  ['5', 5],
] as const)('the broker conforms to MQTT %s', (_name, version) => {
  const checked = statements.flatMap((statement): [string, (lab: Lab) => Promise<void>][] => {
    const numbers = numbersOf(statement, version);
    return numbers.length > 0 && 'check' in statement
      ? [[`${numbers.join(', ')}: ${statement.says}`, statement.check]]
      : [];
  });
  it.concurrent.each(checked)('%s', async (_title, check) => {
    const lab = labFor(version);
    try {
      await check(lab);
    } finally {
      lab.close();
    }
  });
});

describe('the list of statements', () => {
  /** Number of statements per section, as listed in appendix B of each specification. */
  const sections = {
    4: '1.5.3 3, 2.2.2 2, 2.3.1 7, 3.1.0 2, 3.1.2 24, 3.1.3 11, 3.1.4 5, 3.2.0 1, 3.2.2 6, 3.3.1 12, 3.3.2 3, 3.3.4 1, 3.3.5 2, 3.6.1 1, 3.8.1 1, 3.8.3 4, 3.8.4 6, 3.9.3 2, 3.10.1 1, 3.10.3 2, 3.10.4 6, 3.12.4 1, 3.14.1 1, 3.14.4 3, 4.1.0 2, 4.3.1 1, 4.3.2 2, 4.3.3 2, 4.4.0 1, 4.5.0 2, 4.6.0 6, 4.7.1 3, 4.7.2 1, 4.7.3 4, 4.8.0 2, 6.0.0 4, 7.0.0 2, 7.1.1 1, 7.1.2 1',
    5: '1.5.4 3, 1.5.5 1, 1.5.7 1, 2.1.3 1, 2.2.1 5, 2.2.2 1, 3.1.0 2, 3.1.2 30, 3.1.3 12, 3.1.4 6, 3.2.0 2, 3.2.2 22, 3.3.1 13, 3.3.2 20, 3.3.4 10, 3.4.2 3, 3.5.2 3, 3.6.1 1, 3.6.2 3, 3.7.2 3, 3.8.1 1, 3.8.3 5, 3.8.4 8, 3.9.2 2, 3.9.3 2, 3.10.1 1, 3.10.3 2, 3.10.4 6, 3.11.2 2, 3.11.3 2, 3.12.4 1, 3.14.0 1, 3.14.1 1, 3.14.2 4, 3.14.4 3, 3.15.1 1, 3.15.2 3, 4.1.0 2, 4.2 1, 4.2.0 1, 4.3.1 1, 4.3.2 5, 4.3.3 13, 4.4.0 2, 4.5.0 2, 4.6.0 6, 4.7.0 1, 4.7.1 2, 4.7.2 1, 4.7.3 4, 4.8.2 6, 4.9.0 3, 4.12.0 7, 4.12.1 2, 4.13.1 1, 4.13.2 1, 6.0.0 4',
  };

  it.each([4, 5] as const)('contains each statement of version %i once', (version) => {
    const numbers = statements.flatMap((statement) => numbersOf(statement, version));
    expect(numbers.length).toBe(new Set(numbers).size);
    const counts = new Map<string, number>();
    for (const number of numbers) {
      const section = number.split('-')[0]!;
      counts.set(section, (counts.get(section) ?? 0) + 1);
    }
    const found = [...counts].map(([section, count]) => `${section} ${count}`);
    expect(found.sort()).toEqual(sections[version].split(', ').sort());
  });
});
