/**
 * What a host or bundler makes of the file: the compiled module (workerd), its URL (esbuild's loader
 * `file`, webpack's `asset/resource`) or its bytes (esbuild's loader `binary`). `init` takes them all.
 */
declare const module: WebAssembly.Module | BufferSource | string;
export default module;
