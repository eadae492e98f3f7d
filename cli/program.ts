import { CodedError } from '@veritee/protocol';
import { Command, CommanderError } from 'commander';
import { addArchive } from './commands/archive.ts';
import { EXIT } from './exit.ts';
import packageJson from './package.json' with { type: 'json' };

/** The status a command ends with; set by the action that ran. */
interface Ended {
  status: number;
}

const collect = (value: string, before: readonly string[]): string[] => [...before, value];

/** Each verb loads the one module it calls, so that `veritee verify` starts without a server in memory. */
function program(ended: Ended): Command {
  const root = new Command('veritee')
    .description('AI inference that proves itself: serve models in a confidential VM, verify their receipts anywhere.')
    .version(packageJson.version)
    .exitOverride()
    .showHelpAfterError('(veritee --help lists the commands)');

  root
    .command('serve')
    .description('start a host and an enclave on this machine')
    .option('--models <dir>', 'model repository <name>/<version>/model.onnx (default: the bundled sample model)')
    .option(
      '--platform <name>',
      'simulated-snp or simulated-nitro: prove nothing, for trying out and for tests',
      'simulated-snp',
    )
    .option('--listen <host:port>', 'where clients connect; port 0 takes a free one', '127.0.0.1:8080')
    .option('--data <dir>', 'receipts, log and simulated roots', 'veritee-data')
    .option('--allow-plaintext', 'accept requests in the clear, which the host can read', false)
    .option(
      '--endorsements <source>',
      "certificates that an SEV-SNP enclave lacks: amd (default, for real chips), a mirror's URL, or off",
    )
    .option('--enclave-option <name=value>', 'setting of the enclave process, repeatable', collect, [])
    .option('--host-option <name=value>', 'setting of the host process, repeatable', collect, [])
    .option('--survive-parent', 'keep running when the process that started this one ends', false)
    .option('--log-level <level>', 'debug, info, warn or error', 'info')
    .action(async (options) => {
      const { serve } = await import('./commands/serve.ts');
      ended.status = await serve(options);
    });

  root
    .command('infer')
    .description('verify a service, run a model on it, keep the receipt')
    .requiredOption('--url <url>', 'the service')
    .requiredOption('--model <name[/version]>', 'the model')
    .requiredOption('--input <file>', 'Open Inference Protocol request, JSON')
    .option('--policy <file>', 'what you are willing to trust (required)')
    .option('--reference-values <file>', 'builds to accept beside the policy’s, signed in <file>.jws')
    .option('--reference-key <file>', 'the public JWK that signed them')
    .option('--trust-anchor <file>', 'root certificate to trust for this call, repeatable', collect, [])
    .option('--binary', 'send and receive binary tensors', false)
    .option('--wait-for <strength>', 'hardware: wait for the report that covers the answer')
    .option('--receipt-out <file>', 'write the receipt, its salts and the exact bodies')
    .option('--allow-plaintext', 'send the request in the clear, which the host can read', false)
    .option('--json', 'one JSON object on stdout', false)
    .action(async (options) => {
      const { infer } = await import('./commands/infer.ts');
      ended.status = await infer(options);
    });

  root
    .command('proxy')
    .description('a local Open Inference endpoint that verifies a service, seals requests to it and keeps the receipts')
    .requiredOption('--url <url>', 'the service')
    .option('--policy <file>', 'what you are willing to trust (required)')
    .option('--reference-values <file>', 'builds to accept beside the policy’s, signed in <file>.jws')
    .option('--reference-key <file>', 'the public JWK that signed them')
    .option('--trust-anchor <file>', 'root certificate to trust for this run, repeatable', collect, [])
    .option(
      '--listen <host:port>',
      'where your software connects, in the clear; port 0 takes a free one',
      '127.0.0.1:8081',
    )
    .option('--listen-anywhere', 'listen on an address that other machines reach, in the clear', false)
    .option('--receipts <dir>', 'keep every receipt with its salts and exact bodies in this folder')
    .option('--wait-for <strength>', 'hardware: answer only when a report covers the answer')
    .option('--padding <bytes>', 'pad sealed requests and answers to a multiple of so many bytes')
    .action(async (options) => {
      const { proxy } = await import('./commands/proxy.ts');
      ended.status = await proxy(options);
    });

  root
    .command('verify')
    .description(
      'verify a receipt, attestation, evidence, raw SNP report, Azure HCL report, Nitro document or AIR receipt; no network',
    )
    .argument('<file>')
    .option(
      '--kind <kind>',
      'receipt, attestation, evidence, snp-report, snp-hcl, nitro-document or air-receipt (default: detected)',
    )
    .option('--policy <file>', 'policy file, or builtin:authenticity (required)')
    .option('--reference-values <file>', 'builds to accept beside the policy’s, signed in <file>.jws')
    .option('--reference-key <file>', 'the public JWK that signed them')
    .option('--endorsement <file>', 'certificates, DER or PEM, repeatable', collect, [])
    .option('--crl <file>', 'certificate revocation list, repeatable', collect, [])
    .option('--trust-anchor <file>', 'root certificate to trust for this call, repeatable', collect, [])
    .option('--evidence <file>', 'evidence file for a receipt that refers to it, repeatable', collect, [])
    .option('--at <time>', 'RFC 3339 time to verify at (default: now)')
    .option('--nonce <hex>', 'the nonce you sent')
    .option('--request <file>', 'the exact request body')
    .option('--request-salt <hex>', 'its salt')
    .option('--response <file>', 'the exact response body')
    .option('--response-salt <hex>', 'its salt')
    .option('--air-key <hex or file>', 'the Ed25519 key that signs an AIR receipt: raw, hex, PEM or DER')
    .option('--report <file>', 'write the result as one HTML page for auditors')
    .option('--ear <profile>', 'print a signed EAT Attestation Result: veraison-2023 or ietf-2026')
    .option('--ear-key <file>', 'the private JWK (P-256 or P-384) that signs it')
    .option('--json', 'one JSON object on stdout', false)
    .action(async (file, options) => {
      const { verify } = await import('./commands/verify.ts');
      ended.status = await verify(file, options);
    });

  root
    .command('inspect')
    .description('show what a file says, without verifying it')
    .argument('<file>')
    .option('--json', 'one JSON object on stdout', false)
    .action(async (file, options) => {
      const { inspect } = await import('./commands/inspect.ts');
      ended.status = await inspect(file, options);
    });

  const policy = root.command('policy').description('write and check appraisal policies');
  policy
    .command('init')
    .description('verify a file, then draft a policy that accepts what made it')
    .argument('<file>')
    .option('--endorsement <file>', 'certificates, DER or PEM, repeatable', collect, [])
    .option('--trust-anchor <file>', 'root certificate to trust, repeatable', collect, [])
    .option('--at <time>', 'RFC 3339 time to verify at (default: now)')
    .action(async (file, options) => {
      const { policyInit } = await import('./commands/policy.ts');
      ended.status = await policyInit(file, options);
    });
  policy
    .command('check')
    .description('check that a policy is complete, and say what it leaves open')
    .argument('<file>')
    .option('--json', 'one JSON object on stdout', false)
    .action(async (file, options) => {
      const { policyCheck } = await import('./commands/policy.ts');
      ended.status = await policyCheck(file, options);
    });

  const measure = root.command('measure').description('compute the measurement to expect from build artefacts');
  measure
    .command('snp')
    .description('SEV-SNP launch digest of a firmware and what it boots')
    .requiredOption('--ovmf <file>', 'the OVMF image')
    .option('--ovmf-hash <hex>', 'launch digest after the firmware, instead of that of the image’s bytes')
    .option('--kernel <file>', 'kernel for direct boot, measured with --initrd and --append')
    .option('--initrd <file>', 'initial RAM disk')
    .option('--append <text>', 'kernel command line')
    .requiredOption('--vcpus <n>', 'number of vCPUs, or several: 1,2,4')
    .option('--vcpu-type <name>', 'QEMU processor model, such as EPYC-v4')
    .option('--vcpu-sig <n>', 'or what CPUID leaf 1 says in EAX')
    .option('--vmm <name>', 'qemu, ec2, ec2-v1 (before spring 2026) or gce', 'qemu')
    .option('--guest-features <hex>', 'SEV_FEATURES of the VMSA', '0x1')
    .option('--id-block <file>', 'ID block of the launch, verified with --id-auth')
    .option('--id-auth <file>', 'its authentication information')
    .option('--id-key <file>', 'or the ID key alone, PEM')
    .option('--author-key <file>', 'and the author key, PEM')
    .option('--host-data <hex>', 'HOST_DATA that the launch sets')
    .option('--vmpl <n>', 'VMPL that the service runs at', '0')
    .option('--name <build>', 'name of the build')
    .option('--json', 'one JSON object on stdout', false)
    .action(async (options) => {
      const { measureSnp } = await import('./commands/measure-snp.ts');
      ended.status = await measureSnp(options);
    });
  measure
    .command('nitro')
    .description('PCRs of a Nitro enclave image, or of the parts it will be built from')
    .argument('[file.eif]')
    .option('--kernel <file>', 'kernel')
    .option('--cmdline <text>', 'kernel command line')
    .option('--ramdisk <file>', 'ramdisk, repeatable: first the boot code, then the application', collect, [])
    .option('--signing-cert <file>', 'certificate that will sign the image, PEM')
    .option('--name <build>', 'name of the build')
    .option('--json', 'one JSON object on stdout', false)
    .action(async (file, options) => {
      const { measureNitro } = await import('./commands/measure-nitro.ts');
      ended.status = await measureNitro(file, options);
    });

  measure
    .command('models')
    .description('what hardware measures of a model repository: HOST_DATA (SEV-SNP), PCR16 (Nitro)')
    .argument('<dir>')
    .option('--key-file <file>', 'key of encrypted models, a JWK of kind oct, repeatable', collect, [])
    .option('--json', 'one JSON object on stdout', false)
    .action(async (dir, options) => {
      const { measureModels } = await import('./commands/measure-models.ts');
      ended.status = await measureModels(dir, options);
    });

  root
    .command('endorsements')
    .description('certificates and revocation lists from AMD')
    .command('fetch')
    .description('fetch what an SNP report is verified with, verify it, write it to a folder')
    .argument('<report>')
    .requiredOption('--out <dir>', 'where to write vcek.der, ask.pem, chain.pem and crl.der')
    .option('--cache <dir>', 'keep what was fetched here (default: ~/.cache/veritee/endorsements)')
    .option('--kds <url>', 'a mirror of the key service (default: https://kdsintf.amd.com)')
    .option('--product <name>', 'Milan, Genoa or Turin (default: what the report says)')
    .option('--vlek <file>', 'the VLEK certificate that the guest brought, when a VLEK signed the report')
    .option('--trust-anchor <file>', 'root certificate to trust for this call, repeatable', collect, [])
    .option('--json', 'one JSON object on stdout', false)
    .action(async (report, options) => {
      const { fetchEndorsements } = await import('./commands/endorsements.ts');
      ended.status = await fetchEndorsements(report, options);
    });

  root
    .command('models')
    .description('model repositories')
    .command('seal')
    .description('make an encrypted copy of a model repository')
    .argument('<dir>')
    .requiredOption('--key-file <file>', 'the key, a JWK of kind oct with 32 bytes')
    .requiredOption('--kid <uri>', 'its name at the key broker: kbs:///<repository>/<type>/<tag>')
    .requiredOption('--out <dir>', 'the copy; must not exist')
    .option('--new-key', 'make the key and write it to --key-file, which must not exist', false)
    .option('--json', 'one JSON object on stdout', false)
    .action(async (dir, options) => {
      const { sealModels } = await import('./commands/models.ts');
      ended.status = await sealModels(dir, options);
    });

  addArchive(root, ended);

  root
    .command('broker')
    .description('release keys of encrypted models to enclaves whose evidence a policy affirms')
    .requiredOption('--config <file>', 'resources, policies and anchors, JSON')
    .option('--listen <host:port>', 'where enclaves connect; port 0 takes a free one', '127.0.0.1:8090')
    .option('--issuer <text>', 'iss of its tokens')
    .action(async (options) => {
      const { broker } = await import('./commands/broker.ts');
      ended.status = await broker(options);
    });

  root
    .command('tensors')
    .description('turn ONNX TensorProto files into an Open Inference Protocol request')
    .argument('<name=file.pb...>')
    .action(async (inputs) => {
      const { tensors } = await import('./commands/tensors.ts');
      ended.status = await tensors(inputs);
    });

  root
    .command('demo')
    .description('the whole path on free ports: attest, infer, verify, refuse a forgery')
    .option('--platform <name>', 'simulated-snp, simulated-nitro or both', 'simulated-snp')
    .option('--keep <dir>', 'keep the files in this folder')
    .action(async (options) => {
      const { demo } = await import('./commands/demo.ts');
      ended.status = await demo(options);
    });

  return root;
}

/** @returns the exit status */
export async function run(args: readonly string[]): Promise<number> {
  const ended: Ended = { status: EXIT.done };
  try {
    await program(ended).parseAsync([...args], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return EXIT.done; // --help, --version
    if (args.includes('--json')) throw new CodedError('USAGE', error.message.replace(/^error: /, ''));
    return EXIT.usage; // commander has said why on stderr
  }
  return ended.status;
}
