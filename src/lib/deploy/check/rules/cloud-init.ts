import { at, type DeployFolder, type Finding, finding, listAt } from '../objects.js';

/** Top-level keys of cloud-init 22.4 to 26.2 that a user data may have; a validator before 23 takes any. */
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

/** User data: what cloud-init leaves out in silence. */
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
              'the first line has to be exactly #cloud-config: nothing of it is done otherwise',
            ),
          ]),
      ...Object.keys(object.data)
        .filter((key) => !known.has(key))
        .map((key) => finding(object, [key], 'cloud-init', `${key} is no key of cloud-init`)),
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
              'who reads the user data has the password: keys instead',
            ),
          ]),
    ]);
}
