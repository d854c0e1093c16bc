import { AiotError, requireWritable, writeFileAtomic } from '../core/index.js';
import { type JunitCase, junitXml } from '../formats/index.js';

/** Writes what was checked as JUnit XML, once it is known. */
type JunitReport = (cases: readonly JunitCase[]) => Promise<void>;

/**
 * `--junit`: the file is refused before the work rather than after it. Without a file nothing is written.
 * @param command such as `stream route test`
 * @throws AIOT_FILE_NOT_WRITABLE
 */
export async function junitReport(file: string | undefined, command: string): Promise<JunitReport> {
  if (file === undefined) return async () => {};
  await requireWritable(file);
  const start = performance.now();
  return (cases) =>
    writeFileAtomic(file, junitXml(`aiot ${command}`, cases, (performance.now() - start) / 1000));
}

/** A gate that said no, and time that was up: all else says nothing of what was checked. */
const saidNo = new Set([6, 124]);

/**
 * One check that throws when it fails, such as `stream tail --expect`: what it throws is its failure, and is thrown on.
 * @param name undefined: nothing is checked, which is no use with a file
 * @throws AIOT_USAGE, AIOT_FILE_NOT_WRITABLE, and what the check does
 */
export async function junitOf<Value>(
  { file, command, name }: { file: string | undefined; command: string; name: string | undefined },
  check: () => Promise<Value>,
): Promise<Value> {
  if (file !== undefined && name === undefined) {
    throw new AiotError('AIOT_USAGE', '--junit: expected --expect or --never beside it');
  }
  const report = await junitReport(file, command);
  const one = { className: command, name: name ?? '' };
  try {
    const value = await check();
    await report([one]);
    return value;
  } catch (error) {
    if (error instanceof AiotError && saidNo.has(error.exit))
      await report([{ ...one, failure: error.message }]);
    throw error;
  }
}
