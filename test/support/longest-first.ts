import { createHash } from 'node:crypto';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Files that take more than about twenty seconds, the longest first. If they started later, a run would wait for
 * them at its end while cores are idle. They mostly wait for brokers and chips, so other files can run in parallel.
 */
export const longest = [
  'model/keywords.real.test.ts',
  'model/emit-c.real.test.ts',
  'firmware/interpreter.real.test.ts',
  'model/forest.real.test.ts',
  'platform/ingest.real.test.ts',
  'attacks/native-updates.real.test.ts',
  'model/import-onnx.real.test.ts',
  'web/screens.real.test.ts',
  'firmware/heap.real.test.ts',
  'platform/upgrade.real.test.ts',
  'platform/openapi.real.test.ts',
  'flash/judges.real.test.ts',
  'stream/kafka/faults.real.test.ts',
  'flash/pretended.real.test.ts',
  'chaos/chaos.real.test.ts',
  'fuzz/fuzz.real.test.ts',
  'stream/route/faults.real.test.ts',
  'flash/loader/connect.real.test.ts',
  'device/native-firmware.real.test.ts',
  'platform/commands.test.ts',
  'platform/telemetry-damage.test.ts',
  'docs/blocks.test.ts',
  'demo/demo.test.ts',
  'platform/mqtt5-connect.test.ts',
  'platform/scrub.test.ts',
  'model/har.test.ts',
  'cli/mcp/server.test.ts',
  'device/conform.test.ts',
  'device/fleet.test.ts',
  'pipeline/kills.test.ts',
  'data/loose.test.ts',
  'platform/broker-hostile.test.ts',
  'attacks/updates.test.ts',
  'platform/first-start.test.ts',
  'cli/program-name.test.ts',
  'platform/damage.test.ts',
  'fleet/scale.test.ts',
  'api/signed.test.ts',
  'platform/durability.test.ts',
  'platform/verify.test.ts',
  'platform/backup.test.ts',
  'platform/mqtt5-messages.test.ts',
  'platform/strangers.test.ts',
  'house/harness.test.ts',
  'loop/teach.test.ts',
  'provision/boards.test.ts',
  'cli/command.test.ts',
  'house/scripts.test.ts',
  'pipeline/argo.test.ts',
  'house/commands.test.ts',
  'pipeline/default.test.ts',
  'chaos/chaos.test.ts',
  'house/handles.test.ts',
  'loop/aarch64.real.test.ts',
  'project/firmware.real.test.ts',
  'platform/ddi-swupdate.real.test.ts',
  'runtime/architectures.real.test.ts',
  'deploy/validators.real.test.ts',
  'platform/guide-kafka.real.test.ts',
  'stream/mqtt/mosquitto.real.test.ts',
  'platform/kills/doors.real.test.ts',
  'platform/kills/relayed.real.test.ts',
  'project/kit.real.test.ts',
  'pipeline/cluster.real.test.ts',
];

/**
 * Runs the longest files first, and the others in vitest's order. With a limit of time (`real.ts`), the others have a random order, so that
 * it is not always the same tests for which no time is left.
 */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const at = longest.findIndex((name) => moduleId.endsWith(`/test/${name}`));
      return at === -1 ? longest.length : at;
    };
    const limit = process.env.AIOT_TESTS_UNTIL;
    if (limit === undefined) return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
    const place = ({ moduleId }: TestSpecification) => digestOf(`${limit} ${moduleId}`);
    return files.toSorted((a, b) => rank(a) - rank(b) || (place(a) < place(b) ? -1 : 1));
  }
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
