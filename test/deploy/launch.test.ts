import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ROOT } from '../support/shared.ts';
import { script } from './support.ts';

const CMDLINE = 'rdinit=/init quiet "a b"  two spaces';

describe('the launch line', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'veritee-launch-'));
  const file = (name: string, content: string | Uint8Array) => {
    writeFileSync(path.join(folder, name), content);
    return path.join(folder, name);
  };
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  let firmware: string;
  let qemu: string;
  beforeAll(() => {
    for (const name of ['vmlinuz', 'initrd']) file(name, name);
    file('cmdline', CMDLINE);
    firmware = file('OVMF.amdsev.fd', 'firmware');
    qemu = file('qemu', '#!/bin/sh\nprintf "%s\\n" "$@"\n');
    chmodSync(qemu, 0o755);
  });
  /** What QEMU would be given, one argument a line. */
  const launch = async (...args: string[]) => {
    return (await script('snp/launch.sh', ['--image', folder, ...args], { QEMU: qemu })).trimEnd().split('\n');
  };
  const given = (lines: readonly string[], option: string) =>
    lines.flatMap((line, at) => (line === option ? [lines[at + 1] as string] : []));

  test('asks for SEV-SNP with measured kernel hashes, and gives the command line byte for byte', async () => {
    const lines = await launch('--firmware', firmware);
    expect(given(lines, '-object')).toContain(
      'sev-snp-guest,id=sev0,cbitpos=51,reduced-phys-bits=1,policy=0x30000,kernel-hashes=on',
    );
    expect(given(lines, '-machine')[0]).toContain('confidential-guest-support=sev0');
    expect(given(lines, '-append')).toEqual([CMDLINE]);
    expect(given(lines, '-bios')).toEqual([firmware]);
    expect(given(lines, '-netdev')[0]).toContain('restrict=on,hostfwd=tcp:127.0.0.1:9000-10.0.2.15:9000');
    expect(given(lines, '-device')[0]).toContain('disable-legacy=on,iommu_platform=on');
    expect(lines).toContain('-nodefaults');
  });

  test('carries ID block, author key and HOST_DATA in base64', async () => {
    const block = file('block', new Uint8Array(96).fill(1));
    const auth = file('auth', new Uint8Array(4096).fill(2));
    const hostData = file('host-data', new Uint8Array(32).fill(3));
    const ids = ['--id-block', block, '--id-auth', auth, '--author-key', '--host-data', hostData];
    const [, guest] = given(await launch('--firmware', firmware, ...ids), '-object') as [string, string];
    const base64 = (name: string) => readFileSync(name).toString('base64');
    expect(guest).toContain(`,id-block=${base64(block)},id-auth=${base64(auth)},author-key-enabled=on,`);
    expect(guest).toContain(`,host-data=${base64(hostData)}`);
  });

  test('never falls back from SEV-SNP: without firmware there is no start', async () => {
    await expect(launch()).rejects.toMatchObject({ code: 2 });
    await expect(launch('--firmware', path.join(folder, 'none'))).rejects.toMatchObject({ code: 2 });
    const simulated = await launch('--simulate', '--accel', 'tcg');
    expect(simulated.join(' ')).not.toContain('sev');
  });

  test('the libvirt example asks for the same', () => {
    const xml = readFileSync(path.join(ROOT, 'deploy/snp/libvirt.xml'), 'utf8');
    expect(xml).toContain(`<launchSecurity type='sev-snp' kernelHashes='yes'>`);
    expect(xml).toMatch(/<cbitpos>51<[\s\S]*<reducedPhysBits>1<[\s\S]*<policy>0x00030000</);
    expect(xml).toMatch(/<vcpu>2<[\s\S]*<model fallback='forbid'>EPYC-v4</);
  });
});
