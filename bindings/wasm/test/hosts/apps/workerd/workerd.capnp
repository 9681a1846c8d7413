using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [(name = "main", worker = .main)],
  sockets = [(name = "http", service = "main")],
);

const main :Workerd.Worker = (
  modules = [
    (name = "worker.js", esModule = embed "worker.js"),
    (name = "@stagedoor/wasm/stagedoor.wasm", wasm = embed "stagedoor.wasm"),
  ],
  compatibilityDate = "2025-05-05",
);
