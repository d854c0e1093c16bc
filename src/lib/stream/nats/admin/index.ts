import type { StreamAdmin } from '../../admin.js';
import type { StreamOptions } from '../../options.js';
import type { StreamUrl } from '../../url.js';
import { connectNats } from '../connect.js';
import { natsSettings } from '../settings.js';
import { checkFilter } from '../subject.js';
import { checkServer } from './check.js';
import { createStream } from './create.js';
import { consumerLag } from './lag.js';
import { listSubjects } from './topics.js';

/** What a NATS server says of itself. @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED, AIOT_STREAM_URL */
export async function openNatsAdmin(url: StreamUrl, options: StreamOptions): Promise<StreamAdmin> {
  const { endpoint } = url;
  const settings = natsSettings(url, options);
  const subject = checkFilter(settings.subject, endpoint);
  const client = await connectNats(url, options, settings);
  return {
    endpoint,
    topics: (wish) => listSubjects(client, { ...wish, subject, stream: settings.stream }, endpoint),
    lag: ({ group }) => consumerLag(client, { group, stream: settings.stream }, endpoint),
    create: (spec, { dryRun }) => createStream(client, spec, dryRun, endpoint),
    check: () => checkServer(client, subject, endpoint),
    close: () => client.close(),
  };
}
