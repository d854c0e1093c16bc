import { Args } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { setFlag, shared, variablesOf } from '../../../lib/cli/flags/shared.js';
import { junitReport } from '../../../lib/cli/junit.js';
import { testedRoutesText } from '../../../lib/cli/render/streams.js';
import { next } from '../../../lib/cli/render/text.js';
import { shellWord } from '../../../lib/core/text.js';
import { testedRoutesSchema, testRoutes } from '../../../lib/stream/route/cases.js';

export default class StreamRouteTest extends AiotCommand {
  static override summary = 'Run the test cases in a routes file.';
  static override description = 'Opens no connections. Exits with 6 if a case fails.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> routes.yaml',
    '<%= config.bin %> <%= command.id %> routes.yaml --junit routes.xml',
  ];
  static override args = { file: Args.string({ required: true, description: 'Routes file (YAML).' }) };
  static override flags = { set: setFlag, junit: shared.junit };
  static override result = testedRoutesSchema;

  async run() {
    const { args, flags } = await this.input(StreamRouteTest);
    const junit = await junitReport(flags.junit, 'stream route test');
    const tested = await testRoutes(args.file, { set: variablesOf(flags.set) });
    await junit(tested.cases.map(({ route, name, why }) => ({ className: route, name, failure: why })));
    this.print(testedRoutesText(tested));
    if (tested.failed > 0) this.exitsWith(6);
    else this.suggest(next(`aiot stream route run ${shellWord(args.file)}`));
    return tested;
  }
}
