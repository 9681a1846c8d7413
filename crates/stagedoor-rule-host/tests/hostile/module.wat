(core module $module
  {core}
  (memory (export "memory") 2)
  (global $next (mut i32) (i32.const 4096))
  ;; The name, the version and the schema, and where they are.
  (data (i32.const 1024) "hostile")
  (data (i32.const 1040) "1.0.0")
  (data (i32.const 1056) "{\"type\":\"object\"}")
  (data (i32.const 512) "\00\04\00\00\07\00\00\00\10\04\00\00\05\00\00\00\00\00\00\00\20\04\00\00\11\00\00\00")
  ;; A yes without a reason.
  (data (i32.const 600) "\00\00\00\00\01\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00")
  (func (export "realloc") (param i32 i32 i32 i32) (result i32)
    (local $start i32)
    (local.set $start (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $start) (local.get 3)))
    (local.get $start))
  (func (export "describe") (result i32) {describe} (i32.const 512))
  (func (export "evaluate") (param i32) (result i32) {evaluate} (i32.const 600))
)
