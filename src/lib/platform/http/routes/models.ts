import type { LiveFigures } from '../../../api/api.js';
import { contract } from '../../../api/contract/contract.js';
import { liveFigures } from '../../../fleet/live.js';
import type { Labels } from '../../datasets/labels.js';
import type { Telemetry } from '../../journal/telemetry.js';
import { ModelFiles } from '../../releases/model-files.js';
import type { Models } from '../../releases/models.js';
import type { Routes } from '../parts.js';
import { serve } from '../serve.js';

export const modelRoutes: Routes = (parts) => async (app) => {
  const { models, removal, stages } = parts;
  serve(app, contract.models, {
    list: ({ query }) => models.list(query),
    versions: ({ params, query }) => models.versions(params.name, query),
    next: ({ params }) => models.next(params.name),
    push: ({ params, body, who }) => models.push(params.name, body.envelope, who),
    get: ({ params }) => models.get(params.name, params.version),
    live: ({ params }) => liveOf(parts, params.name, params.version),
    promote: ({ params, body, who }) => stages.move(params.name, params.version, body, who),
    remove: ({ params, who }) => removal.remove(params.name, params.version, who),
  });
  const files = new ModelFiles(parts);
  serve(app, contract.modelFiles, {
    inspect: ({ params, query }) => files.inspect(params.digest, query),
    add: ({ params, body: { action, ...described }, who }) => files[action](params.digest, described, who),
  });
  serve(app, contract.manifests, {
    get: ({ params }) => models.manifest(params.sequence),
    post: ({ body, who }) => models.resign(body.envelope, who),
  });
};

/** A version's inferences, evaluated against the current labels. @throws AIOT_NOT_FOUND */
async function liveOf(
  parts: { models: Models; telemetry: Telemetry; labels: Labels },
  name: string,
  version: number,
): Promise<LiveFigures> {
  const info = await parts.models.info(name, version);
  const { classes, labels } = info.kind === 'model' ? info : { classes: [], labels: {} };
  const given = await parts.labels.all();
  const classOf = new Map(Object.entries(labels).flatMap(([to, from]) => from.map((label) => [label, to])));
  return liveFigures(await parts.telemetry.live(name, version), classes, (device, recording) => {
    const label = given.get(`${device}/${recording}`);
    return label === undefined ? null : (classOf.get(label) ?? label);
  });
}
