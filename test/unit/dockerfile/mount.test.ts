import { checkMount, parseMount } from '../../../src/dockerfile/mount.ts'

describe('parseMount', () => {
  test.each([
    ['M1 bind is the default, read-only', 'target=/x', { type: 'bind', target: '/x', source: '', readonly: true }],
    ['M1 rw', 'type=bind,dst=/x,src=a,from=b,rw', { type: 'bind', target: '/x', source: 'a', from: 'b', readonly: false }],
    ['M1 readwrite=false', 'target=/x,readwrite=false', { type: 'bind', target: '/x', source: '', readonly: true }],
    ['M2 keys and types in any case', 'TYPE=Cache,Target=/x', { type: 'cache', target: '/x', sharing: 'shared', readonly: false }],
    ['M2 a quoted field', 'type=bind,"source=a,b",target=/x', { type: 'bind', target: '/x', source: 'a,b', readonly: true }],
    ['M2 doubled quotes', 'target=/x,"source=a""b"', { type: 'bind', target: '/x', source: 'a"b', readonly: true }],
    [
      'cache with everything',
      'type=cache,id=i,target=/x,ro,sharing=LOCKED,from=f,source=s,mode=0755,uid=1,gid=2',
      { type: 'cache', id: 'i', target: '/x', readonly: true, sharing: 'locked', from: 'f', source: 's', mode: 0o755, uid: 1, gid: 2 },
    ],
    ['tmpfs', 'type=tmpfs,target=/x,size=64m', { type: 'tmpfs', target: '/x', size: 67108864, readonly: false }],
    [
      'M9 secret',
      'type=secret,id=a/b',
      { type: 'secret', id: 'a/b', target: '/run/secrets/b', required: false, mode: 0o400, uid: 0, gid: 0 },
    ],
    [
      'M9 secret in env only',
      'type=secret,id=a,env=A',
      { type: 'secret', id: 'a', env: 'A', required: false, mode: 0o400, uid: 0, gid: 0 },
    ],
    [
      'M9 secret in env and file',
      'type=secret,id=a,env=A,target=/t,required',
      { type: 'secret', id: 'a', env: 'A', target: '/t', required: true, mode: 0o400, uid: 0, gid: 0 },
    ],
    [
      'M11 id is the base name of the target',
      'type=secret,target=/a/b',
      { type: 'secret', id: 'b', target: '/a/b', required: false, mode: 0o400, uid: 0, gid: 0 },
    ],
    [
      'M11 source is the id',
      'type=secret,source=a',
      { type: 'secret', id: 'a', target: '/run/secrets/a', required: false, mode: 0o400, uid: 0, gid: 0 },
    ],
    ['M12 ssh', 'type=ssh', { type: 'ssh', id: 'default', required: false, mode: 0o600, uid: 0, gid: 0 }],
    [
      'ssh with everything',
      'type=ssh,id=a,target=/s,required=true,mode=0666,uid=1,gid=2',
      { type: 'ssh', id: 'a', target: '/s', required: true, mode: 0o666, uid: 1, gid: 2 },
    ],
  ])('%s', (_, raw, mount) => {
    expect(parseMount(raw)).toEqual(mount)
  })

  test('X8 values are expanded, keys are not', () => {
    const seen: string[] = []
    const expand = (word: string) => {
      seen.push(word)
      return word.replace('$T', 'cache').replace('$P', '/p')
    }
    expect(parseMount('type=$T,target=$P/x,ro', expand)).toMatchObject({ type: 'cache', target: '/p/x', readonly: true })
    expect(seen).toEqual(['$T', '$P/x'])
  })

  // Texts as `docker buildx build --check` of Docker 28.5 prints them.
  test.each([
    ['type=foo', 'unsupported mount type "foo"'],
    ['type=bindd', 'unsupported mount type "bindd" (did you mean bind?)'],
    ['typ=bind', "unexpected key 'typ' in 'typ=bind' (did you mean type?)"],
    ['foo', "invalid field 'foo' must be a key=value pair"],
    ['required,target=/a', "unexpected key 'required' for mount type 'bind'"],
    ['type=cache,required,target=/a', "unexpected key 'required' for mount type 'cache'"],
    ['type=tmpfs,mode=1,target=/a', 'mode not allowed for "tmpfs" type mounts'],
    ['uid=1,target=/a', 'uid not allowed for "bind" type mounts'],
    ['type=tmpfs,size=x,target=/a', 'invalid value for size: x'],
    ['size=1,target=/a', "unexpected key 'size' for mount type 'bind'"],
    ['type=bind,sharing=locked,target=/a', 'invalid cache sharing set for bind mount'],
    ['type=cache,sharing=lockd,target=/a', 'unsupported sharing value "lockd" (did you mean locked?)'],
    ['type=cache,target=/a,ro=x', 'invalid value for ro: x'],
    ['type=secret', 'invalid secret mount. one of source, target required'],
    ['type=secret,env=A', 'invalid secret mount. one of source, target required'],
    ['type=secret,id=a,source=b', "both source and id can't be set"],
    ['type=secret,sharing=shared,id=b', 'secret mount should not define sharing'],
    ['type=secret,from=a,id=b', 'secret mount should not have a from'],
    ['type=ssh,mode=9', 'invalid value 9 for mode'],
    ['type=cache,target=/a,uid=4294967296', 'invalid value 4294967296 for uid'],
    ['from=$x', "'from' doesn't support variable expansion, define alias stage instead"],
    ['', 'failed to parse csv mounts: EOF'],
  ])('%s is refused', (raw, message) => {
    expect(() => parseMount(raw)).toThrow(message)
  })

  test('G7 a dollar at the end of from is no variable', () => {
    expect(() => checkMount('from=a$')).not.toThrow()
  })
})
