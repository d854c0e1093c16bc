import {
  at,
  type Data,
  type DeployFolder,
  type DeployObject,
  type Finding,
  finding,
  listAt,
} from './objects.js';

/** Findings about problems that Compose would report only at startup, or never. */
export function composeFindings({ objects }: DeployFolder): Finding[] {
  return objects
    .filter(isCompose)
    .flatMap((object) => [
      ...Object.entries(servicesOf(object)).flatMap(([name, service]) => ofService(object, name, service)),
      ...clashes(object),
    ]);
}

const isCompose = ({ file, data }: DeployObject) =>
  /(^|\/)(docker-)?compose[\w.-]*\.ya?ml$/.test(file) &&
  typeof at(data, 'services') === 'object' &&
  at(data, 'services') !== null;

const servicesOf = ({ data }: DeployObject) => at(data, 'services') as Record<string, Data>;

function ofService(object: DeployObject, name: string, service: Data): Finding[] {
  const services = servicesOf(object);
  const here = ['services', name];
  const after = namesIn(service.depends_on);
  return [
    ...after.flatMap((other) => {
      const wanted = services[other];
      const path = [...here, 'depends_on'];
      if (!wanted)
        return [finding(object, path, 'reference', `${name}: the service ${other} does not exist`)];
      const optional = at(service, 'depends_on', other, 'required') === false;
      const apart = namesIn(wanted.profiles).length > 0 && namesIn(service.profiles).length === 0;
      const unwell =
        at(service, 'depends_on', other, 'condition') === 'service_healthy' &&
        wanted.healthcheck === undefined;
      return [
        ...(apart && !optional
          ? [
              finding(
                object,
                path,
                'reference',
                `${name} always starts, and waits for ${other}, which has a profile`,
              ),
            ]
          : []),
        ...(unwell
          ? [
              finding(
                object,
                path,
                'probe',
                `${name} waits for the health of ${other}, which has no healthcheck`,
              ),
            ]
          : []),
      ];
    }),
    ...referred(object, name, service, 'secrets', 'source'),
    ...referred(object, name, service, 'configs', 'source'),
    ...volumesOf(service).flatMap((volume) =>
      at(object.data, 'volumes', volume) === undefined
        ? [finding(object, [...here, 'volumes'], 'reference', `${name}: the volume ${volume} does not exist`)]
        : [],
    ),
    ...(service.healthcheck === undefined && service.ports !== undefined
      ? [finding(object, here, 'probe', `${name}: no healthcheck: nothing detects that it hangs`, 'warning')]
      : []),
    ...(at(service, 'deploy', 'resources', 'limits', 'memory') === undefined &&
    service.mem_limit === undefined
      ? [finding(object, here, 'limit', `${name}: no memory limit: it can use all memory of the machine`)]
      : []),
  ];
}

const namesIn = (value: unknown): string[] =>
  Array.isArray(value)
    ? value.map(String)
    : value !== null && typeof value === 'object'
      ? Object.keys(value)
      : [];

function referred(
  object: DeployObject,
  name: string,
  service: Data,
  key: 'secrets' | 'configs',
  source: string,
): Finding[] {
  const used = Array.isArray(service[key]) ? (service[key] as unknown[]) : [];
  return used.flatMap((entry) => {
    const wanted = typeof entry === 'string' ? entry : String(at(entry, source));
    return at(object.data, key, wanted) === undefined
      ? [
          finding(
            object,
            ['services', name, key],
            'reference',
            `${name}: the ${key.slice(0, -1)} ${wanted} does not exist`,
          ),
        ]
      : [];
  });
}

/** Names of a service's volumes. Paths on the machine are not included. */
function volumesOf(service: Data): string[] {
  const all = Array.isArray(service.volumes) ? (service.volumes as unknown[]) : [];
  return all.flatMap((volume) => {
    if (typeof volume !== 'string')
      return at(volume, 'type') === 'volume' ? [String(at(volume, 'source'))] : [];
    const [source = ''] = volume.split(':', 1);
    return /^[./~$]/.test(source) || !volume.includes(':') ? [] : [source];
  });
}

function clashes(object: DeployObject): Finding[] {
  const seen = new Map<string, string>();
  return Object.entries(servicesOf(object)).flatMap(([name, service]) => {
    const ports = Array.isArray(service.ports) ? (service.ports as unknown[]) : [];
    return ports.flatMap((port, index) => {
      const published = typeof port === 'string' ? publishedOf(port) : String(at(port, 'published') ?? '');
      if (published === '') return [];
      const other = seen.get(published);
      seen.set(published, other ?? name);
      return other === undefined || other === name
        ? []
        : [
            finding(
              object,
              ['services', name, 'ports', index],
              'port-clash',
              `${published} is already a port of ${other}`,
            ),
          ];
    });
  });
}

/** The published port of a mapping, such as 8443 for `127.0.0.1:8443:8443/tcp`. */
const publishedOf = (text: string) => /^(?:.*:)?(\d+):\d+(?:\/\w+)?$/.exec(text)?.[1] ?? '';

/** Top-level user-data keys that cloud-init 22.4 to 26.2 supports. Validators before version 23 accept any key. */
const known = new Set(
  (
    'allow_public_ssh_keys ansible apk_repos apt apt_pipelining apt_preserve_sources_list apt_reboot_if_required apt_update apt_upgrade authkey_hash autoinstall bootcmd byobu_by_default ' +
    'ca_certs chef chpasswd cloud_config_modules cloud_final_modules cloud_init_modules create_hostname_file device_aliases disable_ec2_metadata disable_root disable_root_opts disk_setup drivers ' +
    'fan final_message fqdn fs_setup groups growpart grub_dpkg hostname keyboard landscape launch-index locale locale_configfile lxd manage_etc_hosts manage_resolv_conf mcollective merge_how ' +
    'merge_type migrate mount_default_fields mounts network no_ssh_fingerprints ntp output package_reboot_if_required package_update package_upgrade packages password phone_home power_state ' +
    'prefer_fqdn_over_hostname preserve_hostname puppet random_seed reporting resize_rootfs resolv_conf rh_subscription rsyslog runcmd salt_minion snap spacewalk ssh ssh_authorized_keys ' +
    'ssh_deletekeys ssh_fp_console_blacklist ssh_genkeytypes ssh_import_id ssh_key_console_blacklist ssh_keys ssh_publish_hostkeys ssh_pwauth ssh_quiet_keygen swap system_info timezone ' +
    'ubuntu_advantage ubuntu_pro updates user users vendor_data version wireguard write_files yum_repo_dir yum_repos zypper'
  ).split(' '),
);

/** Findings about user data that cloud-init would silently ignore. */
export function cloudInitFindings({ objects, texts }: DeployFolder): Finding[] {
  return objects
    .filter(({ file }) => /(^|\/)user-data(\.ya?ml)?$/.test(file))
    .flatMap((object) => [
      ...(texts.get(object.file)?.split('\n', 1)[0] === '#cloud-config'
        ? []
        : [
            finding(
              object,
              [],
              'cloud-init',
              'the first line must be exactly #cloud-config: otherwise the file is ignored',
            ),
          ]),
      ...Object.keys(object.data)
        .filter((key) => !known.has(key))
        .map((key) => finding(object, [key], 'cloud-init', `${key} is not a cloud-init key`)),
      ...listAt(object.data, 'write_files').flatMap(({ permissions }, index) =>
        permissions === undefined || (typeof permissions === 'string' && /^0?[0-7]{3,4}$/.test(permissions))
          ? []
          : [
              finding(
                object,
                ['write_files', index, 'permissions'],
                'cloud-init',
                `expected permissions in quotes, such as "0644", got ${String(permissions)}`,
              ),
            ],
      ),
      ...(at(object.data, 'password') === undefined
        ? []
        : [
            finding(
              object,
              ['password'],
              'plain-secret',
              'anyone who can read the user data can read the password: use SSH keys instead',
            ),
          ]),
    ]);
}
