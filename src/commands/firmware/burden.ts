import { AiotCommand } from '../../lib/cli/command.js';
import { burdenFlags } from '../../lib/cli/flags/boards.js';
import { burdenText } from '../../lib/cli/render/firmware.js';
import { next } from '../../lib/cli/render/text.js';
import { burdenOf, burdenSchema, parseClamp } from '../../lib/sensor/burden.js';

export default class FirmwareBurden extends AiotCommand {
  static override summary = 'Compute the burden of a current clamp, and the bias that it swings about.';
  static override description =
    'For a clamp whose output is a current, such as an SCT-013-000. One that is marked with a voltage has its burden inside, and is refused. The resistor is rounded down to one that is sold: with a larger one the greatest peaks would not fit. Solder it before the clamp is closed around a conductor. The circuit: docs/hardware.md.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --clamp 100A:50mA --volts 3.3',
    '<%= config.bin %> <%= command.id %> --clamp 100A:50mA --nominal 30A --range 0.15-2.45 --json',
  ];
  static override flags = burdenFlags;
  static override result = burdenSchema;

  async run() {
    const { flags } = await this.input(FirmwareBurden);
    const burden = burdenOf({
      clamp: parseClamp(flags.clamp, flags.turns),
      nominalAmperes: flags.nominal,
      volts: flags.volts,
      range: flags.range,
      bits: flags['adc-bits'],
    });
    this.print(burdenText(burden));
    this.print(
      `\nIn aiot.yaml: firmware: { clamp: { turns: ${burden.clamp.turns}, burden: ${burden.ohms} } }`,
    );
    this.print(next('aiot firmware build --target esp32'));
    return burden;
  }
}
