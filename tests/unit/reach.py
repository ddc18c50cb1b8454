"""Which AWS operations the shipped code can come to call from a handler. Read from the source; nothing is run.

Whatever reachable code *names* counts as called: a function in a dictionary, a method handed on, the body of a lambda.
A method is found by the types the code declares (mypy checks those), and where a type says nothing (``Any``), every
method of that name counts. So the answer may hold too much, never too little; code that could only be guessed at raises
:class:`UnfollowableError`. The type of a value is the set of classes that may be in it: a class, its instances, a
container of them and a function that returns them are one and the same here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property

import botocore.session
from botocore import xform_name
from botocore.model import ServiceModel

ANY = "any"
AWS = "aws:"  # aws:dynamodb is a boto3 client of that service
ARGUMENT = "argument"  # a type variable: whatever the arguments are

FACTORY = "esteira.aws.client"  # the one function that may make clients by a name it does not know
# The parts that Aws is put together from; each has the same field.
PARTS = ("aws.codecommit.CodeCommit", "aws.ecr.Ecr", "aws.codebuild.CodeBuild", "aws.cloudwatch.CloudWatch")
PARTS += ("aws.registrations.Registrations", "aws.telling.Telling", "targets.ec2.Ec2", "aws.Aws")
MAKERS = {FACTORY, "boto3.client", "boto3.resource", "boto3.Session", "boto3.session"}
MAKERS |= {f"esteira.{part}.client" for part in PARTS}
# What a client has that calls nothing; and what belongs to a container that a client may lie in.
HARMLESS = {"can_paginate", "close", "exceptions", "get_paginator", "meta"}
HARMLESS |= {name for container in (dict, list, set, str, tuple) for name in dir(container)}
# By these a name becomes a thing behind the reader's back.
TRICKS = {"__import__", "compile", "eval", "exec", "globals", "locals", "setattr", "vars"}
TRICKS |= {"importlib.import_module", "operator.attrgetter", "operator.methodcaller"}
HIDDEN = {"__dict__", "__getattribute__", "__setattr__", "__subclasses__", "_make_api_call", "create_client"}
# These decorators leave a method to those who name it; any other may be a framework's, which calls it by itself.
PASSIVE = {"property", "cached_property", "staticmethod", "classmethod", "cache", "contextmanager", "override"}


class UnfollowableError(Exception):
    """The source does something this reading cannot follow; the message says where, and what to write instead."""


@dataclass(frozen=True)
class Operation:
    """An operation of AWS's, by boto3's and AWS's names, and the names by which a handler comes to it."""

    service: str
    name: str
    chain: tuple[str, ...] = field(compare=False)


@dataclass(frozen=True)
class Reached:
    """What can be called from a handler: AWS's operations; and the texts in each module's code on the way."""

    operations: frozenset[Operation]
    texts: Mapping[str, frozenset[str]]


@dataclass(eq=False)
class Module:
    """A source file: what its names stand for, and the modules of ours it imports."""

    name: str
    tree: ast.Module
    names: dict[str, Thing] = field(default_factory=dict)
    imports: set[str] = field(default_factory=set)


@dataclass(eq=False)
class Function:
    """A function or method, with all that is nested in it."""

    module: Module
    node: ast.FunctionDef | ast.AsyncFunctionDef
    owner: Class | None = None

    @property
    def name(self) -> str:
        return f"{self.owner.name if self.owner else self.module.name}.{self.node.name}"


@dataclass(eq=False)
class Said:
    """What is said of a variable or field: its annotations, and the values it is given, each with where that is."""

    annotations: list[ast.expr] = field(default_factory=list)
    values: list[tuple[Function | Module, ast.expr]] = field(default_factory=list)


@dataclass(eq=False)
class Class:
    """A class with its methods and fields."""

    module: Module
    node: ast.ClassDef
    methods: dict[str, Function] = field(default_factory=dict)
    fields: dict[str, Said] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.module.name}.{self.node.name}"

    @property
    def is_protocol(self) -> bool:
        return "Protocol" in map(_last, self.node.bases)


@dataclass(eq=False)
class Variable:
    """A variable of a module."""

    module: Module
    word: str
    said: Said = field(default_factory=Said)

    @property
    def name(self) -> str:
        return f"{self.module.name}.{self.word}"


@dataclass(frozen=True)
class External:
    """A thing of somebody else's, by its full name."""

    name: str


Thing = Function | Class | Variable | Module | External
Types = frozenset[Class | str]
NOTHING: Types = frozenset()
ANYTHING: Types = frozenset({ANY})
UNKNOWN: Types = frozenset({ANY, ARGUMENT})


@dataclass(eq=False)
class Scope:
    """Where an expression stands: its module, and the types of the names that are local there."""

    module: Module
    name: str
    local: dict[str, Types] = field(default_factory=dict)


class Source:
    """The shipped code: ``texts`` are the sources by the module's name."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.modules = {name: Module(name, ast.parse(text)) for name, text in texts.items()}
        for module in self.modules.values():
            _declare(module)
            self._import(module)
        self.classes = [c for m in self.modules.values() for c in m.names.values() if isinstance(c, Class)]
        self._scopes: dict[Function | Module, Scope] = {}
        self._declared: dict[ast.expr, Types] = {}  # a node stands in one module
        self._open: set[object] = set()  # what is being worked out just now
        self._unsure = False

    def reached(self, handler: str) -> Reached:
        """What can be called from ``handler``, such as ``intake.handler``. Raises UnfollowableError."""
        reached = _Walk(self).walk(handler)
        while self._grew():
            reached = _Walk(self).walk(handler)
        return reached

    def _grew(self) -> bool:
        """Where something was bound too early, bind everything once more; return whether anything came of it."""
        again, self._unsure = self._unsure, False
        before = {of: dict(scope.local) for of, scope in self._scopes.items() if again}
        for of in before:
            if isinstance(of, Function):
                self._bind(of, self._scopes[of])
        return any(before[of] != self._scopes[of].local for of in before)

    # --- names

    def _import(self, module: Module) -> None:
        """Bind what is imported anywhere in the module, also inside a function."""
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    first = alias.name.split(".")[0]
                    self._bound(module, alias.asname or first, alias.name if alias.asname else first)
                    module.imports |= {alias.name} & self.modules.keys()
            elif isinstance(node, ast.ImportFrom):
                if node.level or node.names[0].name == "*":
                    raise UnfollowableError(
                        f"{module.name}, line {node.lineno}: import by whole names, and each by its own"
                    )
                module.imports |= {node.module or ""} & self.modules.keys()
                for alias in node.names:
                    self._bound(module, alias.asname or alias.name, f"{node.module}.{alias.name}")

    def _bound(self, module: Module, word: str, full: str) -> None:
        module.imports |= {full} & self.modules.keys()
        module.names.setdefault(word, self._whole(full))

    def _whole(self, name: str) -> Module | External:
        return self.modules.get(name) or External(name)

    def thing(self, module: Module, word: str) -> Thing | None:
        """What a module's name stands for, followed through imports; None for a builtin."""
        found = module.names.get(word)
        home, _, last = found.name.rpartition(".") if isinstance(found, External) else ("", "", "")
        return self.thing(self.modules[home], last) if home in self.modules else found

    def named(self, scope: Scope, node: ast.AST) -> Thing | None:
        """What a plain or dotted name stands for; None where it is local, a builtin or no name."""
        match node:
            case ast.Name(id=word):
                return None if word in scope.local else self.thing(scope.module, word)
            case ast.Attribute(value=value, attr=word):
                home = self.named(scope, value)
                if isinstance(home, Module) and f"{home.name}.{word}" not in self.modules:
                    return self.thing(home, word)
                return self._whole(f"{home.name}.{word}") if isinstance(home, Module | External) else None
        return None

    def scope(self, of: Function | Module) -> Scope:
        """Where the code of a function, or of a module itself, stands."""
        self._unsure |= of in self._open  # what rests on a scope that is being bound was bound too early
        if of not in self._scopes:
            scope = self._scopes[of] = Scope(of if isinstance(of, Module) else of.module, of.name)
            if isinstance(of, Function):
                self._open.add(of)
                self._bind(of, scope)
                self._open.remove(of)
        return self._scopes[of]

    def _bind(self, function: Function, scope: Scope) -> None:
        """Give every local name the types of all that is ever put there, nested functions included."""
        nodes = list(ast.walk(function.node))
        for node in nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self._declare_arguments(scope, node.args)
                if node is not function.node:
                    scope.local[node.name] = self.returned(Function(function.module, node))
        first = (function.node.args.posonlyargs + function.node.args.args)[:1]
        if function.owner and first and first[0].annotation is None:
            scope.local[first[0].arg] = frozenset({function.owner})
        bound = []
        for word, annotation, value in (each for node in nodes for each in _bindings(node)):
            declared = self.declared(scope.module, annotation) if annotation else ANYTHING
            scope.local[word] = scope.local.get(word, NOTHING) | (declared if annotation else NOTHING)
            bound += [(word, value)] if value is not None and ANY in declared else []
        bound += [(word, value) for node in nodes for word, value in _widenings(node) if word in scope.local]
        before = None
        while before != scope.local:
            before = dict(scope.local)
            for word, value in bound:
                scope.local[word] |= self.types(scope, value)

    def _declare_arguments(self, scope: Scope, arguments: ast.arguments) -> None:
        for each in _arguments(arguments):
            types = self.declared(scope.module, each.annotation) if each.annotation else ANYTHING
            scope.local[each.arg] = scope.local.get(each.arg, NOTHING) | _filled(types, ANYTHING)

    # --- types

    @cache  # noqa: B019 - a Source lives as long as its test
    def kin(self, one: Class) -> list[Class]:
        """A class, those above it and those below it: an instance may be of any."""
        return [*self.above(one), *(c for c in self.classes if c is not one and one in self.above(c))]

    def above(self, one: Class) -> list[Class]:
        """A class and those it is made from."""
        bases = [self.named(Scope(one.module, one.name), base) for base in one.node.bases]
        return [one, *(c for base in bases if isinstance(base, Class) for c in self.above(base))]

    @cache  # noqa: B019 - a Source lives as long as its test
    def givers(self, types: Types, name: str) -> list[tuple[Class, Class]]:
        """Each class among ``types`` with a class that gives it the attribute ``name``."""
        found = []
        for one in self.classes if types & UNKNOWN else types:
            if isinstance(one, Class):
                among = self.classes if one.is_protocol else self.kin(one)
                found += [(one, c) for c in among if name in c.methods or name in c.fields]
        return found

    def declared(self, module: Module, annotation: ast.expr) -> Types:
        """The classes that an annotation names; the same whenever it is asked, so it is worked out once."""
        known = self._declared.get(annotation)
        if known is None:
            known = self._declared[annotation] = self._named_by(module, annotation)
        return known

    def _named_by(self, module: Module, annotation: ast.expr) -> Types:
        match annotation:
            case ast.Constant(value=str() as text):
                return self.declared(module, ast.parse(text, mode="eval").body)
            case ast.Subscript(value=value, slice=arguments):
                parts = arguments.elts if isinstance(arguments, ast.Tuple) else [arguments]
                held = {"Literal": parts[:0], "Annotated": parts[:1], "Callable": parts[-1:]}.get(_last(value), parts)
                return _all(self.declared(module, part) for part in [value, *held])
            case ast.Name() | ast.Attribute():
                name, thing = _last(annotation), self.named(Scope(module, module.name), annotation)
                return ANYTHING if name in ("Any", "object") else self._declared_by(thing)
        return _all(
            self.declared(module, part) for part in ast.iter_child_nodes(annotation) if isinstance(part, ast.expr)
        )

    def _declared_by(self, thing: Thing | None) -> Types:
        match thing:
            case Class():
                return frozenset({thing})
            case Variable(said=Said(values=[(_, ast.Call(func=func, keywords=keywords))])) if _last(func) in _VARIABLES:
                bounds = [k.value for k in keywords if k.arg == "bound"]
                return _all(self.declared(thing.module, b) for b in bounds) if bounds else frozenset({ARGUMENT})
            case Variable():  # a name for another type
                return _all(self.declared(thing.module, value) for _, value in thing.said.values)
            case External(name=name) if name.startswith("types_boto3_"):
                return frozenset({AWS + name.split(".")[0].removeprefix("types_boto3_").replace("_", "-")})
        return NOTHING

    def returned(self, function: Function) -> Types:
        """What a function declares to return; anything, if it declares nothing."""
        if function.node.returns is None:
            return ANYTHING
        own = frozenset({function.owner}) if _last(function.node.returns) == "Self" and function.owner else NOTHING
        return self.declared(function.module, function.node.returns) | own

    def said(self, module: Module, said: Said) -> Types:
        """What may be in a variable or field: what is declared, or else what is put there."""
        declared = _all(self.declared(module, annotation) for annotation in said.annotations)
        if (said.annotations and ANY not in declared) or said in self._open:
            return declared
        self._open.add(said)
        found = _all(self.types(self.scope(at), value) for at, value in said.values)
        self._open.remove(said)
        return declared | found

    def contents(self, types: Types) -> Types:
        """The classes with all that may lie in their fields."""
        found, todo = set(types), list(types)
        while todo:
            one = todo.pop()
            kin = self.kin(one) if isinstance(one, Class) else []
            inside = _all(self.said(c.module, said) for c in kin for said in c.fields.values())
            todo += inside - found
            found |= inside
        return frozenset(found)

    def types(self, scope: Scope, node: ast.expr) -> Types:
        """What may be in the value of an expression."""
        match node:
            case ast.Name(id=word) if word in scope.local:
                return scope.local[word]
            case ast.Name() | ast.Attribute() if (thing := self.named(scope, node)) is not None:
                return self._of_thing(thing)
            case ast.Attribute(value=value, attr=name):
                return self._of_attribute(self.types(scope, value), name)
            case ast.Call():
                return self._of_call(scope, node)
            case ast.Lambda(body=body):
                return self.types(inner(scope, node), body)
            case ast.JoinedStr():
                return NOTHING
        return _all(self.types(scope, child) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))

    def _of_thing(self, thing: Thing) -> Types:
        match thing:
            case Function():
                return self.returned(thing)
            case Class():
                return frozenset({thing})
            case Variable():
                return self.said(thing.module, thing.said)
        return NOTHING

    def _of_attribute(self, of: Types, name: str) -> Types:
        found, known = ANYTHING if of & UNKNOWN else NOTHING, set()
        for one, giver in self.givers(of, name):
            known.add(one)
            method = giver.methods.get(name)
            found |= self.returned(method) if method else self.said(giver.module, giver.fields[name])
        # What a class has from elsewhere, or what belongs to the container it lies in.
        return found | self.contents(frozenset(c for c in of if isinstance(c, Class)) - known)

    def _of_call(self, scope: Scope, node: ast.Call) -> Types:
        if service := client_of(self, scope, node):
            return frozenset({AWS + service})
        if _last(node.func) == "super":
            return _all(scope.local.get(word, NOTHING) for word in ("self", "cls"))
        arguments = _all(self.types(scope, a) for a in [*node.args, *(k.value for k in node.keywords)])
        found = self.types(scope, node.func)
        ours = isinstance(self.named(scope, node.func), Function | Class)
        if isinstance(node.func, ast.Attribute) and not ours:
            of = self.types(scope, node.func.value)
            ours = not of & UNKNOWN and any(True for _ in self.givers(of, node.func.attr))
        # A function of ours gives what it declares; any other may give back whatever it was given.
        return _filled(found, arguments) if ours else _filled(found, NOTHING) | self.contents(arguments)

    def leads_to_aws(self, types: Types) -> bool:
        """Whether among the values there may be a client, or something that has or makes one."""
        inside = self.contents(types)
        makers = {name.rpartition(".")[0] for name in MAKERS}
        return any(_services(inside)) or any(isinstance(c, Class) and c.name in makers for c in inside)

    @cached_property
    def spoken_of(self) -> list[str]:
        """The services whose names stand anywhere in the source."""
        nodes = (node for module in self.modules.values() for node in ast.walk(module.tree))
        texts = {node.value for node in nodes if isinstance(node, ast.Constant)}
        return sorted(_services_of_aws() & {text for text in texts if isinstance(text, str)})


class _Walk:
    """One walk over the code from one handler."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._came_from: dict[Thing, Thing | None] = {}
        self._todo: list[Thing] = []
        self._here: Thing | None = None
        self._operations: set[Operation] = set()
        self._texts: dict[str, set[str]] = {}

    def walk(self, handler: str) -> Reached:
        home, _, word = handler.rpartition(".")
        start = self._source.thing(self._source.modules[home], word)
        if start is None:
            raise UnfollowableError(f"{handler} is not there")
        self._reach(self._source.modules[home])
        self._reach(start)
        while self._todo:
            self._here = self._todo.pop(0)
            match self._here:
                case Module():
                    self._imported(self._here)
                case Function():
                    self._look(self._source.scope(self._here), self._here.node)
                case Class():
                    self._instantiated(self._here)
                case Variable(said=said):
                    self._look_at_values(said)
        return Reached(frozenset(self._operations), {m: frozenset(t) for m, t in self._texts.items()})

    def _reach(self, thing: Thing | None) -> None:
        if thing is not None and not isinstance(thing, External) and thing not in self._came_from:
            self._came_from[thing] = self._here
            self._todo.append(thing)

    def _imported(self, module: Module) -> None:
        """What an import runs: all but the bodies of functions and what a variable only names."""
        for name in sorted(module.imports):
            self._reach(self._source.modules[name])
        for statement in _statements(module.tree.body, classes=True):
            for node in _run_at_import(statement):
                self._look(self._source.scope(module), node)
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef) and _marks(statement) - PASSIVE:
                self._reach(module.names.get(statement.name))  # who marks it has it

    def _instantiated(self, one: Class) -> None:
        """Whoever has a class has its instances: Python calls their special methods, a framework the decorated ones."""
        for name, method in one.methods.items():
            if (name.startswith("__") and name.endswith("__")) or _marks(method.node) - PASSIVE:
                self._reach(method)
        for base in self._source.above(one):
            self._reach(base)
        for said in one.fields.values():
            for each in _all(self._source.declared(one.module, annotation) for annotation in said.annotations):
                self._reach(each if isinstance(each, Class) else None)
            self._look_at_values(said)

    def _look_at_values(self, said: Said) -> None:
        for at, value in said.values:
            scope = self._source.scope(at)
            if isinstance(at, Module) and not _maker(self._source, scope, value):  # a default may be the factory
                self._look(scope, value)

    def _look(self, scope: Scope, node: ast.AST) -> None:
        """Reach everything that is named in ``node``, but in annotations."""
        match node:
            case ast.Name() | ast.Attribute():
                self._name(scope, node)
            case ast.Constant(value=str() as text):
                self._texts.setdefault(scope.module.name, set()).add(text)
            case ast.Lambda():
                scope = inner(scope, node)
            case ast.Call() if client_of(self._source, scope, node):
                self._look(scope, node.func.value) if isinstance(node.func, ast.Attribute) else None
                return
            case ast.Call():
                self._call(scope, node)
            case ast.Assign(targets=targets, value=value):
                self._kept(scope, targets, value)
            case ast.Global(names=words):
                types = _all(scope.local.get(word, NOTHING) for word in words)
                if types & UNKNOWN or self._source.leads_to_aws(types):
                    raise self._lost(scope, node, "a global may hold a door to AWS; hand it on instead")
        for child in _children(node):
            self._look(scope, child)

    def _name(self, scope: Scope, node: ast.Name | ast.Attribute) -> None:
        thing, word = self._source.named(scope, node), _last(node)
        plain = isinstance(node, ast.Name) and thing is None and word not in scope.local
        if (plain and word in TRICKS) or (isinstance(thing, External) and thing.name in TRICKS):
            raise self._lost(scope, node, f"{word} hides what is called; call it by its name")
        if _maker(self._source, scope, node) and scope.name != FACTORY:
            raise self._lost(scope, node, f"{word} is used otherwise than to make the client of a service named there")
        self._reach(thing if not isinstance(thing, Module) else None)
        if thing is None and isinstance(node, ast.Attribute):
            self._attribute(scope, node, self._source.types(scope, node.value), word)

    def _attribute(self, scope: Scope, node: ast.AST, types: Types, word: str) -> None:
        if word in HIDDEN:
            raise self._lost(scope, node, f"{word} hides what is called; call it by its name")
        for _, giver in self._source.givers(types, word):
            self._reach(giver.methods.get(word))
        for service in _services(types):
            if word in operations(service):
                self._operation(service, word)
            elif word not in HARMLESS:
                raise self._lost(scope, node, f"{word} is no operation of {service}; which rights it needs is unknown")
        if types & UNKNOWN:  # it may be a client of any service the code speaks of
            for service in self._source.spoken_of:
                if word in operations(service):
                    self._operation(service, word)

    def _call(self, scope: Scope, node: ast.Call) -> None:
        """Where a call names by a text what it gets."""
        match node:
            case ast.Call(func=ast.Name(id="getattr"), args=[value, name, *_]):
                self._getattr(scope, node, value, name)
            case ast.Call(func=ast.Attribute(value=value, attr="get_paginator"), args=arguments):
                self._paginator(scope, node, value, arguments)

    def _getattr(self, scope: Scope, node: ast.AST, value: ast.expr, name: ast.expr) -> None:
        types = self._source.types(scope, value)
        if isinstance(name, ast.Constant):
            self._attribute(scope, node, types, str(name.value))
            return
        if types & UNKNOWN or _services(types):
            raise self._lost(scope, node, "getattr by a name that is made at run time, on what may be anything")
        for one in types:
            for relative in self._source.kin(one) if isinstance(one, Class) else ():
                for method in relative.methods.values():
                    self._reach(method)

    def _paginator(self, scope: Scope, node: ast.AST, value: ast.expr, arguments: list[ast.expr]) -> None:
        types = self._source.types(scope, value)
        for service in _services(types) or (self._source.spoken_of if types & UNKNOWN else []):
            match arguments:
                case [ast.Constant(value=str() as word)] if word in operations(service):
                    self._operation(service, word)
                case [ast.Constant()] if types & UNKNOWN:
                    pass  # another service's
                case _:
                    raise self._lost(scope, node, f"it pages through an operation of {service} that is not named there")

    def _operation(self, service: str, word: str) -> None:
        names, at = [], self._here
        while at is not None:
            names.append(at.name)
            at = self._came_from[at]
        self._operations.add(Operation(service, operations(service)[word], tuple(reversed(names))))

    def _kept(self, scope: Scope, targets: list[ast.expr], value: ast.expr) -> None:
        """Refuse to lose sight of a door to AWS that is put where nothing declares it."""
        for target in targets:
            match target:
                case ast.Attribute(value=ast.Name(id="self")):
                    continue  # a field of the class is looked up there
                case ast.Subscript(value=ast.Name(id=word)) if word in scope.local:
                    continue  # a local container is widened
                case ast.Attribute() | ast.Subscript() if self._source.leads_to_aws(self._source.types(scope, value)):
                    raise self._lost(
                        scope, target, "a door to AWS is put where nothing declares it; hand it on instead"
                    )

    def _lost(self, scope: Scope, node: ast.AST, what: str) -> UnfollowableError:
        return UnfollowableError(f"{scope.name}, line {getattr(node, 'lineno', '?')}: {what}")


def client_of(source: Source, scope: Scope, node: ast.Call) -> str:
    """The service whose client a call makes, "" where it makes none, or does not say of what."""
    match node.args:
        case [ast.Constant(value=str() as service), *_] if service in _services_of_aws():
            return service if _maker(source, scope, node.func) else ""
    return ""


def _maker(source: Source, scope: Scope, node: ast.expr) -> bool:
    """Whether an expression names a function that makes clients."""
    thing = source.named(scope, node)
    if thing is not None:
        return thing.name in MAKERS
    if not isinstance(node, ast.Attribute) or node.attr not in {name.rpartition(".")[2] for name in MAKERS}:
        return False
    types = source.types(scope, node.value)
    return bool(types & UNKNOWN) or any(isinstance(c, Class) and f"{c.name}.{node.attr}" in MAKERS for c in types)


def inner(scope: Scope, node: ast.Lambda) -> Scope:
    """The scope inside a lambda, whose arguments may be anything."""
    return Scope(scope.module, scope.name, {**scope.local, **{a.arg: ANYTHING for a in _arguments(node.args)}})


# --- what the syntax says --------------------------------------------------------------------------------------------

_VARIABLES = ("TypeVar", "ParamSpec")


def _declare(module: Module) -> None:
    """Bind what the module itself defines."""
    for node in _statements(module.tree.body):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                module.names[node.name] = Function(module, node)
            case ast.ClassDef():
                module.names[node.name] = _class(module, node)
            case _:
                for word, annotation, value in _bindings(node):
                    variable = module.names.setdefault(word, Variable(module, word))
                    if isinstance(variable, Variable):
                        _say(variable.said, module, annotation, value)


def _class(module: Module, node: ast.ClassDef) -> Class:
    one = Class(module, node)
    for statement in _statements(node.body):
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            one.methods[statement.name] = Function(module, statement, one)
        for word, annotation, value in _bindings(statement):
            _say(one.fields.setdefault(word, Said()), module, annotation, value)
    for method in one.methods.values():
        for inside in ast.walk(method.node):
            for target, annotation, value in _targets(inside):
                match target:
                    case ast.Attribute(value=ast.Name(id="self"), attr=word):
                        _say(one.fields.setdefault(word, Said()), method, annotation, value)
    return one


def _say(said: Said, at: Function | Module, annotation: ast.expr | None, value: ast.expr | None) -> None:
    said.annotations += [annotation] if annotation else []
    said.values += [(at, value)] if value else []


def _statements(body: Iterable[ast.AST], *, classes: bool = False) -> Iterator[ast.stmt]:
    """Statements and those inside an if, a try, a loop or a with (and a class), but not those of a function."""
    for statement in body:
        if isinstance(statement, ast.stmt):
            yield statement
        deeper = not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.expr)
        if deeper or (classes and isinstance(statement, ast.ClassDef)):
            yield from _statements(ast.iter_child_nodes(statement), classes=classes)


def _run_at_import(statement: ast.stmt) -> Iterator[ast.AST]:
    """What of a statement runs when its module is imported; statements inside it are asked by themselves."""
    inside: list[ast.AST | None]
    match statement:
        case ast.Assign(targets=[ast.Name()]) | ast.AnnAssign(target=ast.Name()):
            yield from _calls(statement.value)
            return
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            inside = [*statement.decorator_list, *statement.args.defaults, *statement.args.kw_defaults]
        case ast.ClassDef():
            inside = [*statement.decorator_list, *statement.bases, *statement.keywords]
        case _:
            inside = list(ast.iter_child_nodes(statement))
    yield from (node for node in inside if node is not None and not isinstance(node, ast.stmt | ast.ExceptHandler))


def _marks(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """The decorators of a function."""
    return {_last(mark.func if isinstance(mark, ast.Call) else mark) for mark in node.decorator_list}


def _calls(node: ast.AST | None) -> Iterator[ast.AST]:
    """The outermost calls in an expression, but those inside a lambda, which happen later."""
    if isinstance(node, ast.Call):
        yield node
    elif node is not None and not isinstance(node, ast.Lambda):
        for child in ast.iter_child_nodes(node):
            yield from _calls(child)


def _targets(node: ast.AST) -> Iterator[tuple[ast.AST, ast.expr | None, ast.expr | None]]:
    """What a node assigns to, each with its annotation and the expression whose value it may hold."""
    match node:
        case ast.Assign(targets=targets, value=value):
            yield from ((inside, None, part) for target in targets for inside, part in _paired(target, value))
        case ast.AnnAssign(target=target, annotation=annotation, value=value):
            yield target, annotation, value
        case ast.AugAssign(target=target, value=value) | ast.NamedExpr(target=target, value=value):
            yield target, None, value
        case (
            ast.For(target=target, iter=value)
            | ast.AsyncFor(target=target, iter=value)
            | ast.comprehension(target=target, iter=value)
        ):
            yield from ((inside, None, value) for inside in ast.walk(target))
        case ast.withitem(context_expr=value, optional_vars=target) if target is not None:
            yield from ((inside, None, value) for inside in ast.walk(target))


def _paired(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.AST, ast.expr]]:
    """What an assignment assigns to, each with its value: of ``a, b = c, d`` one by one."""
    several = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
    if several and len(target.elts) == len(value.elts) and not _starred(target) and not _starred(value):
        for each, part in zip(target.elts, value.elts, strict=True):
            yield from _paired(each, part)
    else:
        yield from ((inside, value) for inside in ast.walk(target))


def _starred(node: ast.Tuple) -> bool:
    return any(isinstance(each, ast.Starred) for each in node.elts)


def _bindings(node: ast.AST) -> Iterator[tuple[str, ast.expr | None, ast.expr | None]]:
    """The names a node binds, each with its annotation and the expression whose value it may hold."""
    for target, annotation, value in _targets(node):
        if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store):
            yield target.id, annotation, value
    match node:
        case ast.ExceptHandler(name=str() as word, type=value):
            yield word, None, value
        case ast.Match(subject=subject, cases=cases):
            inside = ast.Call(ast.Name("tuple", ast.Load()), [subject], [])  # a foreign function: it gives the contents
            for pattern in (p for case in cases for p in ast.walk(case.pattern)):
                for captured in (getattr(pattern, "name", None), getattr(pattern, "rest", None)):
                    if captured:
                        yield captured, None, inside


def _widenings(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """The names of containers that a node puts something into: ``rows.append(…)``, ``rows["x"] = …``."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=word)), args=arguments):
            yield from ((word, argument) for argument in arguments)
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                match target:
                    case ast.Subscript(value=ast.Name(id=word)):
                        yield word, value


def _arguments(arguments: ast.arguments) -> list[ast.arg]:
    found = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return [argument for argument in found if argument is not None]


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """What is directly in a node, but for annotations."""
    for name in node._fields:
        child = getattr(node, name, None)
        if isinstance(child, ast.AST) and name not in ("annotation", "returns"):
            yield child
        elif isinstance(child, list):
            yield from (each for each in child if isinstance(each, ast.AST))


def _last(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _all(types: Iterable[Types]) -> Types:
    return NOTHING.union(*types)


def _filled(types: Types, arguments: Types) -> Types:
    """Put what was handed in where a type variable stands."""
    return (types - {ARGUMENT}) | (arguments if ARGUMENT in types else NOTHING)


def _services(types: Types) -> list[str]:
    return [t.removeprefix(AWS) for t in types if isinstance(t, str) and t.startswith(AWS)]


@cache
def model(service: str) -> ServiceModel:
    """What botocore knows of a service."""
    return _session().get_service_model(service)


@cache
def _session() -> botocore.session.Session:
    return botocore.session.Session()


@cache
def _services_of_aws() -> frozenset[str]:
    return frozenset(_session().get_available_services())


@cache
def operations(service: str) -> Mapping[str, str]:
    """A service's operations: boto3's name → AWS's."""
    return {xform_name(name): name for name in model(service).operation_names}
