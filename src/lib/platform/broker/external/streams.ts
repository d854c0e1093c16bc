import { openSink, openSource, type Source } from '../../../stream/index.js';
import type { LocalStreams } from '../../streams/streams.js';

/** Routes of a platform with an external broker: each source and sink is a client of it. `opened` is closed with the broker. */
export function remoteStreams(base: string, opened: Source[]): LocalStreams {
  return {
    async openSource(filter, { queue, overflow } = {}) {
      const options = {
        ...(queue === undefined ? {} : { queue }),
        ...(overflow === undefined ? {} : { overflow }),
      };
      const source = await openSource(`${base}/${filter}`, options);
      opened.push(source);
      return source;
    },
    openSink: (topic, { qos, retain } = {}) => {
      const query = retain === undefined ? '' : `?retain=${retain}`;
      return openSink(`${base}/${topic}${query}`, qos === undefined ? {} : { qos });
    },
    // What is published elsewhere is not offered here: sources hear of it from the broker.
    offer: (_message, done) => done(),
    expect: () => {},
    close: () => {},
  };
}
