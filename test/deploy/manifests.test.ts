import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { ROOT } from '../support/shared.ts';

const FOLDER = path.join(ROOT, 'deploy/kubernetes');
const NITRO = path.join(ROOT, 'deploy/nitro');

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec?: Record<string, unknown>;
  readonly [field: string]: unknown;
}

/** A package that is only looked for; absent, a loud word about what is therefore not tested. */
async function optional<T>(name: string, tested: string): Promise<T | null> {
  try {
    return (await import(name)) as T;
  } catch {
    console.warn(`\n!!! the package ${name} is not here: ${tested} NOT TESTED !!!\n`);
    return null;
  }
}

const yaml = await optional<{ parseAllDocuments(text: string): { errors: unknown[]; toJS(): Manifest }[] }>(
  'yaml',
  'the Kubernetes manifests are',
);
type Schema = new (data: unknown) => { validate(): void };
const schemas = await optional('kubernetes-models/v1/Service', 'the schemas of the Kubernetes manifests are');
const files = (readdirSync(FOLDER, { recursive: true }) as string[]).filter((name) => name.endsWith('.yaml')).sort();
const read = (file: string): Manifest[] =>
  (yaml?.parseAllDocuments(readFileSync(path.join(FOLDER, file), 'utf8')) ?? []).map((document) => {
    expect(document.errors, file).toEqual([]);
    return document.toJS();
  });

/** Every value under `key`, at any depth. */
function* valuesOf(node: unknown, key: string): Generator<unknown> {
  if (typeof node !== 'object' || node === null) return;
  for (const [name, value] of Object.entries(node)) {
    if (name === key) yield value;
    yield* valuesOf(value, key);
  }
}

describe.skipIf(yaml === null)('the Kubernetes manifests', () => {
  const all = files.filter((file) => !file.endsWith('kustomization.yaml')).flatMap(read);
  const kustomizations = new Map(
    files.filter((file) => file.endsWith('kustomization.yaml')).map((file) => [file, read(file)[0] as Manifest]),
  );
  const ofKind = (kind: string) => all.filter((one) => one.kind === kind);
  const named = (kind: string, name: string) => ofKind(kind).find(({ metadata }) => metadata.name === name) as Manifest;
  const workloads = all.filter(({ kind }) => kind === 'Deployment' || kind === 'StatefulSet');
  const templateOf = (one: Manifest) => (one.spec as { template: Manifest }).template;

  test('every file is named by a kustomization, and every name is a file', () => {
    const listed = [...kustomizations].flatMap(([file, { resources, components }]) =>
      [...((resources ?? []) as string[]), ...((components ?? []) as string[])].map((one) =>
        path.join(path.dirname(file), one),
      ),
    );
    for (const file of files) if (!file.endsWith('kustomization.yaml')) expect(listed, file).toContain(file);
    for (const one of listed)
      expect(
        files.some((file) => file === one || one === '.' || file.startsWith(`${one}/`)),
        one,
      ).toBe(true);
  });

  test('no two objects share kind and name', () => {
    const names = all.map(({ kind, metadata }) => `${kind}/${metadata.name}`);
    expect(new Set(names).size).toBe(names.length);
  });

  test('services, selectors, ports, volumes and claims refer to what is there', () => {
    for (const one of workloads) {
      const { selector } = one.spec as { selector: { matchLabels: object } };
      expect(templateOf(one).metadata).toMatchObject({ labels: selector.matchLabels });
      const pod = templateOf(one).spec as {
        volumes?: { name: string; persistentVolumeClaim?: { claimName: string } }[];
      };
      const claims = ((one.spec as { volumeClaimTemplates?: Manifest[] }).volumeClaimTemplates ?? []).map(
        ({ metadata }) => metadata.name,
      );
      const volumes = [...(pod.volumes ?? []).map(({ name }) => name), ...claims];
      for (const mount of [...valuesOf(pod, 'volumeMounts')].flat() as { name: string }[])
        expect(volumes).toContain(mount.name);
      for (const { persistentVolumeClaim } of pod.volumes ?? [])
        if (persistentVolumeClaim)
          expect(named('PersistentVolumeClaim', persistentVolumeClaim.claimName)).toBeDefined();
    }
    for (const service of ofKind('Service')) {
      const { selector, ports } = service.spec as { selector: object; ports: { targetPort: string }[] };
      const target = workloads.find(
        (one) =>
          JSON.stringify((one.spec as { selector: { matchLabels: object } }).selector.matchLabels) ===
          JSON.stringify(selector),
      );
      expect(target, service.metadata.name).toBeDefined();
      const open = ([...valuesOf(target, 'ports')].flat() as { name: string }[]).map(({ name }) => name);
      for (const { targetPort } of ports) expect(open).toContain(targetPort);
    }
    const host = named('Deployment', 'host');
    const [args] = [...valuesOf(host, 'args')] as string[][];
    const enclave = named('Service', 'enclave').spec as { ports: { port: number }[] };
    expect(args).toContain(`tcp:enclave:${enclave.ports[0]?.port}`);
  });

  test('every image is a parameter of the overlay or of its component', () => {
    const set = [...kustomizations.values()].flatMap(({ images }) =>
      ((images ?? []) as { name: string }[]).map(({ name }) => name),
    );
    for (const one of workloads) for (const image of valuesOf(one, 'image')) expect(set).toContain(image);
  });

  test('the enclave runs in a confidential guest and reaches nothing', () => {
    const { runtimeClassName } = templateOf(named('Deployment', 'enclave')).spec as { runtimeClassName: string };
    expect(named('RuntimeClass', runtimeClassName)).toMatchObject({ handler: 'kata-qemu-snp' });
    const rules = named('NetworkPolicy', 'enclave').spec as { policyTypes: string[]; egress?: unknown };
    expect(rules.policyTypes).toEqual(['Ingress', 'Egress']);
    expect(rules.egress).toBeUndefined();
    expect(named('NetworkPolicy', 'default-deny').spec).toEqual({
      podSelector: {},
      policyTypes: ['Ingress', 'Egress'],
    });
  });

  test('containers have a read-only root, no spare capability, no service account token', () => {
    for (const one of workloads) {
      expect([...valuesOf(one, 'readOnlyRootFilesystem')], one.metadata.name).toEqual([true]);
      expect([...valuesOf(one, 'drop')]).toEqual([['ALL']]);
      expect([...valuesOf(one, 'automountServiceAccountToken')]).toEqual([false]);
      if (one.metadata.name !== 'enclave') expect([...valuesOf(one, 'allowPrivilegeEscalation')]).toEqual([false]);
    }
  });

  test.skipIf(schemas === null)('each object fits the schema of its kind', async () => {
    for (const one of all) {
      const loaded = (await import(`kubernetes-models/${one.apiVersion}/${one.kind}`)) as Record<string, Schema>;
      const Kind = loaded[one.kind] as Schema;
      expect(() => new Kind(one).validate(), `${one.kind}/${one.metadata.name}`).not.toThrow();
      expect(() => new Kind({ ...one, metadata: 7 }).validate()).toThrow();
    }
  });
});

describe('the systemd units of a Nitro parent', () => {
  const units = readdirSync(NITRO).filter((name) => name.endsWith('.service'));
  const unit = (name: string) => readFileSync(path.join(NITRO, name), 'utf8');

  test('depend on units that are here or belong to the nitro-cli package', () => {
    for (const name of units)
      for (const [, list] of unit(name).matchAll(/^(?:Requires|PartOf)=(.+)$/gm))
        for (const one of (list as string).split(' '))
          expect([...units, 'nitro-enclaves-allocator.service'], name).toContain(one);
  });

  test('agree on socket, context and port with the enclave image', () => {
    const image = readFileSync(path.join(ROOT, 'deploy/init/nitro.conf'), 'utf8');
    const port = /^spawn \/usr\/bin\/vsock-bridge (\d+) (\S+)$/m.exec(image);
    expect(image).toContain(`--listen unix:${port?.[2]}`);
    const cid = /--enclave-cid (\d+)/.exec(unit('veritee-enclave.service'))?.[1];
    expect(unit('veritee-link.service')).toContain(`VSOCK-CONNECT:${cid}:${port?.[1]}`);
    const socket = /UNIX-LISTEN:([^,]+),/.exec(unit('veritee-link.service'))?.[1];
    expect(unit('veritee-host.service')).toContain(`--enclave unix:${socket}`);
    expect(unit('veritee-enclave.service')).not.toMatch(/^Exec.*--debug-mode/m);
  });
});
