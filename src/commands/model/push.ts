import { Args, Flags } from '@oclif/core';
import * as z from 'zod';
import { contextFor, withClient, withGuide } from '../../lib/api/context.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { modelFlags } from '../../lib/cli/flags/models.js';
import { ociFlags, releaseFlags } from '../../lib/cli/flags/rollouts.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { next } from '../../lib/cli/render/text.js';
import { afterPush, guidePushedText, ociPushedText, pushedText } from '../../lib/cli/render/versions.js';
import { shellWord } from '../../lib/core/text.js';
import { shortTypes } from '../../lib/model/bundle/board-memory.js';
import { openModelProject } from '../../lib/model/material.js';
import { guidePushedSchema, pushToGuide } from '../../lib/model/publish/guide.js';
import { ociPushedSchema, pushVersionToOci } from '../../lib/model/publish/oci.js';
import { defaultDeviceTypes, isModelFile, pushFile, pushResultSchema } from '../../lib/model/publish/push.js';
import { pushProject } from '../../lib/model/publish/runs.js';
import { operatorKey } from '../../lib/provision/operator-key.js';

export default class ModelPush extends AiotCommand {
  static override summary = 'Bundle, sign and push the evaluated model.';
  static override description =
    'The push is rejected if the model does not meet a limit in model.accept, has changed since its evaluation, or does not reproduce its metrics. The signing key stays on this machine. Also publishes the records of the training runs for the dashboard. A .aiot FILE is pushed unchanged. A .tflite FILE is stored and can be verified, but devices do not run it: for devices, import it into a project first. With oci://HOST/REPOSITORY:TAG, a signed version or .aiot file is pushed to an OCI registry with its signatures, using the login of docker, podman or oras. In an architects-guide context, the model is pushed unsigned, in the format that the architects-guide firmware expects.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> har --project motor-watch --json',
    '<%= config.bin %> <%= command.id %> build/model.aiot --expires 720h',
    '<%= config.bin %> <%= command.id %> network.tflite --name doorbell',
    '<%= config.bin %> <%= command.id %> motor@3 oci://registry.example/models/motor:3',
  ];
  static override args = {
    model: Args.string({
      description:
        "The model's name [default: the project's], or a .aiot or .tflite file; with a registry, NAME@VERSION.",
    }),
    registry: Args.string({ description: 'OCI registry: oci://HOST/REPOSITORY:TAG.' }),
  };
  static override flags = {
    project: shared.project,
    data: modelFlags.data,
    name: Flags.string({
      summary: "Name in the registry, instead of the project's or the bundle's.",
      env: 'AIOT_NAME',
      helpValue: 'NAME',
    }),
    'pipeline-run': Flags.string({
      summary:
        'Pipeline run that this version belongs to, for its lineage; aiot pipeline run sets it automatically.',
      env: 'AIOT_PIPELINE_RUN',
      helpValue: 'ID',
    }),
    cause: Flags.string({
      summary: 'Short description of what triggered the pipeline run.',
      env: 'AIOT_CAUSE',
      helpValue: 'TEXT',
    }),
    ...releaseFlags(defaultDeviceTypes),
    ...ociFlags,
    context: shared.context,
  };
  static override result = z.union([pushResultSchema, guidePushedSchema, ociPushedSchema]);

  async run() {
    const input = await this.input(ModelPush);
    const { args, flags } = input;
    if (args.registry !== undefined) {
      const pushed = await pushVersionToOci({ what: args.model ?? '', to: args.registry, ...flags });
      this.print(ociPushedText(pushed));
      this.suggest(next(`aiot model pull ${pushed.reference} --out ${pushed.name}-${pushed.version}`));
      return pushed;
    }
    const at = again(input, 'context');
    const path = args.model !== undefined && isModelFile(args.model) ? args.model : null;
    const name = flags.name ?? (path === null ? args.model : undefined);
    const project = path === null ? await openModelProject(flags.project, flags.data) : null;
    const context = await contextFor(flags.context);
    if (context.kind === 'architects-guide') {
      const what = { path, project, data: flags.data, at: Date.now() };
      const pushed = await withGuide(context, (client) => pushToGuide({ client, ...what }));
      this.print(guidePushedText(pushed));
      return pushed;
    }
    const privatePem = await operatorKey(context.name);
    const deviceTypes = flags.types.split(',').map((type) => type.trim());
    const result = await withClient(context.name, (client) => {
      const how = { client, privatePem, deviceTypes, name, validMs: flags.expires };
      if (path !== null) return pushFile({ ...how, path });
      const runId = flags['pipeline-run'];
      const run = runId === undefined ? undefined : { id: runId, cause: flags.cause ?? null };
      return pushProject({ ...how, project: project!, data: flags.data, run });
    });
    if (result.kind === 'network')
      this.caution(
        `${result.file} is a model without an evaluation, and devices reject it. For devices, import it with aiot model import ${shellWord(result.file)} --project DIR, then push the project.`,
      );
    if (result.runs?.problem) this.caution(`The training runs were not published: ${result.runs.problem}`);
    // The default is every type that can run models; only types chosen by the user cause warnings.
    const chosen = flags.types === defaultDeviceTypes.join(',') || !result.memory ? [] : deviceTypes;
    for (const text of result.memory ? shortTypes(result.memory, chosen) : []) this.caution(text);
    const hasLimits = project === null || Object.keys(project.config.model.accept).length > 0;
    this.print(pushedText(result, context.url, hasLimits ? 'set' : 'none'));
    this.suggest(next(...afterPush(result, deviceTypes, at)));
    return result;
  }
}
