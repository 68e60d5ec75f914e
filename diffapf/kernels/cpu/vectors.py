"""Eight float64 numbers in a register, for what a recursion does to eight samples at once.

Signals of float32 are computed in float64 inside: a vector of either is loaded and stored as easily. `+`, `−`, `*` and `/`
are those of the elements; a product and a sum are fused.
"""

# mypy: ignore-errors
# (code that Numba compiles, through parts of Numba that its type annotations leave out)

from __future__ import annotations

import operator
from typing import Any

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import models, overload, register_model
from numba.np.arrayobj import make_array, populate_array

from diffapf.kernels.cpu.launch import INLINED

LANES = 8
intrinsic: Any = numba.extending.intrinsic  # whose calls a type checker takes for Python's
DOUBLES = ir.VectorType(ir.DoubleType(), LANES)


class Vector(types.Type):
    def __init__(self, lanes):
        super().__init__(name=f"Vector({lanes})")
        self.lanes = lanes

    @property
    def in_llvm(self):
        return ir.VectorType(ir.DoubleType(), self.lanes)


VECTOR = Vector(LANES)
FOUR = Vector(4)  # a sample of each of four rows


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, kind.in_llvm)


@intrinsic
def in_line(typing, array):
    """All elements of a contiguous array, as one of one dimension. (NumPy's `reshape` is a call, of any array.)"""
    kind = types.Array(array.dtype, 1, "C")

    def generate(context, builder, signature, arguments):
        given = make_array(signature.args[0])(context, builder, arguments[0])
        item = context.get_constant(types.intp, signature.args[0].dtype.bitwidth // 8)
        line = make_array(kind)(context, builder)
        sizes, steps = (cgutils.pack_array(builder, [number]) for number in (given.nitems, item))
        populate_array(line, given.data, shape=sizes, strides=steps, itemsize=item, meminfo=None)
        return line._getvalue()

    return kind(array), generate


def _load(context, builder, kind, array, n, count):
    """array[n:n+count] of a one-dimensional contiguous array, then zeros."""
    values = _load_part(context, builder, kind, array, n, count)
    if count == LANES:
        return values
    nothing = ir.Constant(values.type, None)
    return builder.shuffle_vector(values, nothing, _places([min(place, count) for place in range(LANES)]))


def _load_part(context, builder, kind, array, n, count):
    """array[n:n+count] as a vector of so many numbers."""
    values = builder.load(_address(context, builder, kind, array, n, count), align=kind.dtype.bitwidth // 8)
    return values if kind.dtype == types.float64 else builder.fpext(values, ir.VectorType(ir.DoubleType(), count))


def _store(context, builder, kind, array, n, vector, count, past_caches=False):
    if count < LANES:
        vector = builder.shuffle_vector(vector, vector, _places(list(range(count))))
    _store_part(context, builder, kind, array, n, vector, past_caches)
    return context.get_dummy_value()


def _store_part(context, builder, kind, array, n, vector, past_caches=False):
    """array[n:n+count] = the vector of so many numbers."""
    place = _address(context, builder, kind, array, n, vector.type.count)
    if kind.dtype != types.float64:
        vector = builder.fptrunc(vector, place.type.pointee)
    if past_caches:
        stored = builder.store(vector, place, align=kind.dtype.bitwidth // 8 * LANES)
        stored.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))
    else:
        builder.store(vector, place, align=kind.dtype.bitwidth // 8)


def _address(context, builder, kind, array, n, count):
    data = make_array(kind)(context, builder, array).data
    vector = ir.VectorType(context.get_data_type(kind.dtype), count)
    return builder.bitcast(builder.gep(data, [n]), vector.as_pointer())


@intrinsic
def load(typing, array, n):
    """array[n:n+8] of a one-dimensional contiguous array."""

    def generate(context, builder, signature, arguments):
        return _load(context, builder, signature.args[0], *arguments, LANES)

    return VECTOR(array, types.intp), generate


@intrinsic
def prefetch(typing, array, n):
    """Asks memory for array[n], which may be none of the array's elements."""

    def generate(context, builder, signature, arguments):
        place = _address(context, builder, signature.args[0], *arguments, 1)
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        to_read, nearest, of_data = (ir.Constant(word, number) for number in (0, 3, 1))
        builder.call(function, [builder.bitcast(place, byte), to_read, nearest, of_data])
        return context.get_dummy_value()

    return types.none(array, types.intp), generate


@intrinsic(prefer_literal=True)
def load_first(typing, array, n, count):
    """array[n:n+count], and then zeros; the count is a constant."""
    inside = count.literal_value

    def generate(context, builder, signature, arguments):
        return _load(context, builder, signature.args[0], *arguments[:2], inside)

    return VECTOR(array, types.intp, count), generate


@intrinsic
def store(typing, array, n, vector):
    """array[n:n+8] = vector, in a one-dimensional contiguous array."""

    def generate(context, builder, signature, arguments):
        return _store(context, builder, signature.args[0], *arguments, LANES)

    return types.none(array, types.intp, VECTOR), generate


@intrinsic(prefer_literal=True)
def store_first(typing, array, n, vector, count):
    """array[n:n+count] = the vector's first elements; the count is a constant."""
    inside = count.literal_value

    def generate(context, builder, signature, arguments):
        return _store(context, builder, signature.args[0], *arguments[:3], inside)

    return types.none(array, types.intp, VECTOR, count), generate


@intrinsic(prefer_literal=True)
def load_columns(typing, array, n, count):
    """array[n:n+8·count] as the columns of eight rows of `count`, an odd constant: a tuple of vectors."""
    columns = count.literal_value
    kind = types.UniTuple(VECTOR, columns)

    def generate(context, builder, signature, arguments):
        array, n = arguments[:2]
        parts = [
            _load(context, builder, signature.args[0], array, _plus(builder, n, LANES * part), LANES)
            for part in range(columns)
        ]
        return context.make_tuple(builder, kind, [_column(builder, parts, column) for column in range(columns)])

    return kind(array, types.intp, count), generate


def _storing_columns(past_caches: bool):
    def store_columns(typing, array, n, vectors):
        def generate(context, builder, signature, arguments):
            array, n, vectors = arguments
            columns = signature.args[2].count
            parts = [builder.extract_value(vectors, column) for column in range(columns)]
            for part in range(columns):
                elements = [divmod(LANES * part + place, columns) for place in range(LANES)]
                values = _picked(builder, parts, [(column, row) for row, column in elements])
                at = _plus(builder, n, LANES * part)
                _store(context, builder, signature.args[0], array, at, values, LANES, past_caches)
            return context.get_dummy_value()

        return types.none(array, types.intp, vectors), generate

    return intrinsic(store_columns)


_store_columns, _send_columns = _storing_columns(past_caches=False), _storing_columns(past_caches=True)


@intrinsic
def can_be_sent(typing, array, n):
    """Whether a vector at array[n] can be stored past the caches: where it is aligned."""

    def generate(context, builder, signature, arguments):
        kind = signature.args[0]
        place = _address(context, builder, kind, *arguments, LANES)
        word = ir.IntType(64)
        rest = builder.and_(builder.ptrtoint(place, word), ir.Constant(word, kind.dtype.bitwidth // 8 * LANES - 1))
        return builder.icmp_unsigned("==", rest, ir.Constant(word, 0))

    return types.boolean(array, types.intp), generate


def store_columns(array, n, vectors, large):
    """array[n:n+8·count] = the rows of which the vectors, as many as `count`, are the columns.

    What is `large`, more than the caches hold, is sent past them, if it can be: else each line of it is read before it is
    written. (Other threads see it once this one has claimed its next rows, or found none, by an atomic instruction.)
    """


@overload(store_columns, jit_options=INLINED)
def _store_columns_typed(array, n, vectors, large):
    def stored(array, n, vectors, large):
        if large and can_be_sent(array, n):
            _send_columns(array, n, vectors)
        else:
            _store_columns(array, n, vectors)

    return stored


def _plus(builder, n, offset):
    return builder.add(n, ir.Constant(n.type, offset))


def _column(builder, parts, column):
    """Every so many-th element of the vectors. Of an odd number of vectors no two lie at the same place of theirs: so they
    are picked where they are, which takes half the time of moving them, and then put in order.
    """
    places = [divmod(row * len(parts) + column, LANES) for row in range(LANES)]
    part_at, picked = {place: part for part, place in places}, parts[0]
    for index in range(1, len(parts)):
        picked = builder.shuffle_vector(
            picked, parts[index], _places([LANES + at if part_at[at] == index else at for at in range(LANES)])
        )
    return builder.shuffle_vector(picked, picked, _places([place for _, place in places]))


def _picked(builder, parts, elements):
    """The vector of (part, place) each: a shuffle for each part but the first."""
    picked, at_home = parts[0], [place for _, place in elements]
    for index in range(1, len(parts)):
        places = [
            LANES + place if part == index else home for (part, place), home in zip(elements, at_home, strict=True)
        ]
        picked = builder.shuffle_vector(picked, parts[index], _places(places))
        at_home = range(LANES)  # what was picked stays where it is
    return picked


@intrinsic
def filled(typing, value):
    """The vector of one number eight times."""

    def generate(context, builder, signature, arguments):
        return _splat(builder, arguments[0])

    return VECTOR(types.float64), generate


def _splat(builder, value):
    one = builder.insert_element(ir.Constant(DOUBLES, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, one, _places([0] * LANES))


def _places(places):
    return ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places)


@intrinsic
def align_stack(typing):
    """Puts vectors that find no register where each is within a line of the cache: LLVM does so for variables, of which this
    is one, but not for what it puts there itself.
    """

    def generate(context, builder, signature, arguments):
        place = cgutils.alloca_once(builder, DOUBLES)
        place.align = LANES * 8
        builder.asm(ir.FunctionType(ir.VoidType(), [place.type]), "", "r", [place], side_effect=True)
        return context.get_dummy_value()

    return types.none(), generate


@intrinsic
def unknown(typing, value):
    """The number, but the compiler does not know which: a zero it knew it would shift into a vector by `vexpandpd`, which
    some processors take twenty cycles for.
    """

    def generate(context, builder, signature, arguments):
        word = ir.IntType(64)
        hidden = builder.asm(
            ir.FunctionType(word, [word]), "", "=r,0", [builder.bitcast(arguments[0], word)], side_effect=False
        )
        return builder.bitcast(hidden, ir.DoubleType())

    return types.float64(types.float64), generate


@intrinsic(prefer_literal=True)
def lane(typing, vector, place):
    """Element `place`, a constant, as a number."""
    at = place.literal_value

    def generate(context, builder, signature, arguments):
        return builder.extract_element(arguments[0], ir.Constant(ir.IntType(32), at))

    return types.float64(vector, place), generate


@intrinsic(prefer_literal=True)
def spread(typing, vector, place):
    """The vector of element `place`, a constant, eight times."""
    at = place.literal_value

    def generate(context, builder, signature, arguments):
        return builder.shuffle_vector(arguments[0], arguments[0], _places([at] * LANES))

    return VECTOR(VECTOR, place), generate


@intrinsic(prefer_literal=True)
def joined(typing, one, other, start):
    """Eight of the sixteen elements of both from `start`, a constant, on."""
    first = start.literal_value

    def generate(context, builder, signature, arguments):
        return builder.shuffle_vector(*arguments[:2], _places(list(range(first, first + LANES))))

    return VECTOR(VECTOR, VECTOR, start), generate


def _elementwise(operation, instruction):
    @intrinsic
    def of_vectors(typing, left, right):
        def generate(context, builder, signature, arguments):
            return getattr(builder, instruction)(*arguments, flags=("contract",))

        return left(left, right), generate

    @overload(operation, jit_options=INLINED)
    def _operation(left, right):
        if isinstance(left, Vector) and left == right:
            return lambda left, right: of_vectors(left, right)
        return None


_elementwise(operator.add, "fadd")
_elementwise(operator.sub, "fsub")
_elementwise(operator.mul, "fmul")
_elementwise(operator.truediv, "fdiv")


@intrinsic
def rounded_product(typing, left, right):
    """left·right, which is rounded before it is added to anything."""

    def generate(context, builder, signature, arguments):
        return builder.fmul(*arguments)

    return VECTOR(VECTOR, VECTOR), generate


@intrinsic
def fused(typing, left, right, summand):
    """left·right + summand, rounded once."""

    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(DOUBLES, [DOUBLES] * 3)
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f64")
        return builder.call(function, arguments)

    return VECTOR(VECTOR, VECTOR, VECTOR), generate


@intrinsic
def absolute(typing, vector):
    """The elements without their signs."""

    def generate(context, builder, signature, arguments):
        words = ir.VectorType(ir.IntType(64), LANES)
        rest = builder.and_(builder.bitcast(arguments[0], words), ir.Constant(words, [2**63 - 1] * LANES))
        return builder.bitcast(rest, DOUBLES)

    return VECTOR(VECTOR), generate


@intrinsic
def turned(typing, vector):
    """The elements, last first."""

    def generate(context, builder, signature, arguments):
        return builder.shuffle_vector(arguments[0], arguments[0], _places(list(reversed(range(LANES)))))

    return VECTOR(VECTOR), generate


@intrinsic
def packed(typing, values):
    """The vector of eight numbers, or four, given as a tuple."""
    kind = Vector(values.count)

    def generate(context, builder, signature, arguments):
        vector = ir.Constant(kind.in_llvm, ir.Undefined)
        for place in range(kind.lanes):
            value = builder.extract_value(arguments[0], place)
            vector = builder.insert_element(vector, value, ir.Constant(ir.IntType(32), place))
        return vector

    return kind(values), generate


# Eight samples of each of four rows, a vector each, and the same as eight vectors of four, a sample of each row; or of one
# row, whose samples are numbers. Pairs are put side by side first, so that each half of a vector is what one sample needs.

PAIRS_LOW, PAIRS_HIGH = [0, 1, 8, 9, 2, 3, 10, 11], [4, 5, 12, 13, 6, 7, 14, 15]
EVEN, ODD = [0, 8, 2, 10, 4, 12, 6, 14], [1, 9, 3, 11, 5, 13, 7, 15]
HALVES_LOW, HALVES_HIGH = [0, 1, 4, 5, 8, 9, 12, 13], [2, 3, 6, 7, 10, 11, 14, 15]


@intrinsic
def samples_of(typing, rows):
    """The eight samples of all rows together, from one vector for each row."""
    kind = types.UniTuple(types.float64 if rows.count == 1 else FOUR, LANES)

    def generate(context, builder, signature, arguments):
        given = [builder.extract_value(arguments[0], row) for row in range(rows.count)]
        if rows.count == 1:
            places = (ir.Constant(ir.IntType(32), place) for place in range(LANES))
            return context.make_tuple(builder, kind, [builder.extract_element(given[0], place) for place in places])
        samples = [None] * LANES
        for first, pairs in ((0, PAIRS_LOW), (4, PAIRS_HIGH)):
            one, other = (builder.shuffle_vector(given[row], given[row + 2], _places(pairs)) for row in (0, 1))
            for odd, places in enumerate((EVEN, ODD)):
                both = builder.shuffle_vector(one, other, _places(places))
                for half in (0, 1):
                    part = _places(list(range(4 * half, 4 * half + 4)))
                    samples[first + 2 * half + odd] = builder.shuffle_vector(both, both, part)
        return context.make_tuple(builder, kind, samples)

    return kind(rows), generate


@intrinsic
def rows_of_samples(typing, samples):
    """A vector for each row, from the eight samples of all rows."""
    kind = types.UniTuple(VECTOR, 1 if samples.dtype == types.float64 else 4)

    def generate(context, builder, signature, arguments):
        given = [builder.extract_value(arguments[0], place) for place in range(LANES)]
        if kind.count == 1:
            vector = ir.Constant(DOUBLES, ir.Undefined)
            for place, value in enumerate(given):
                vector = builder.insert_element(vector, value, ir.Constant(ir.IntType(32), place))
            return context.make_tuple(builder, kind, [vector])
        whole = _places(list(range(LANES)))
        pairs = [builder.shuffle_vector(given[at], given[at + 2], whole) for at in (0, 1, 4, 5)]
        rows = [None] * 4
        for row, places in enumerate((EVEN, ODD)):
            low, high = (builder.shuffle_vector(*both, _places(places)) for both in (pairs[:2], pairs[2:]))
            rows[row] = builder.shuffle_vector(low, high, _places(HALVES_LOW))
            rows[row + 2] = builder.shuffle_vector(low, high, _places(HALVES_HIGH))
        return context.make_tuple(builder, kind, rows)

    return kind(samples), generate


# Rows of four elements, or two, with others between them: eight such rows, the first at array[n] and each `apart` elements
# after the one before, and their columns. Half a vector holds a row of four, with that of four rows on in the other half.

ROW_PAIRS_LOW, ROW_PAIRS_HIGH = [0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15]


@intrinsic
def load_fours(typing, array, n, apart):
    """The four columns of eight rows."""
    kind = types.UniTuple(VECTOR, 4)

    def generate(context, builder, signature, arguments):
        array, n, apart = arguments
        rows = [_load_part(context, builder, signature.args[0], array, at, 4) for at in _apart(builder, n, apart)]
        both = [builder.shuffle_vector(rows[row], rows[row + 4], _places([*range(LANES)])) for row in range(4)]
        columns = [None] * 4
        for odd, places in enumerate((EVEN, ODD)):
            one, other = (builder.shuffle_vector(*both[row : row + 2], _places(places)) for row in (0, 2))
            columns[odd] = builder.shuffle_vector(one, other, _places(ROW_PAIRS_LOW))
            columns[odd + 2] = builder.shuffle_vector(one, other, _places(ROW_PAIRS_HIGH))
        return context.make_tuple(builder, kind, columns)

    return kind(array, types.intp, types.intp), generate


@intrinsic
def store_fours(typing, array, n, apart, columns):
    """Eight rows of these four columns."""

    def generate(context, builder, signature, arguments):
        array, n, apart, columns = arguments
        given = [builder.extract_value(columns, column) for column in range(4)]
        places = _apart(builder, n, apart)
        for first, pairs in ((0, ROW_PAIRS_LOW), (2, ROW_PAIRS_HIGH)):
            even, odd = (builder.shuffle_vector(given[at], given[at + 2], _places(pairs)) for at in (0, 1))
            for row, order in ((first, EVEN), (first + 1, ODD)):
                both = builder.shuffle_vector(even, odd, _places(order))
                for half in (0, 4):
                    part = builder.shuffle_vector(both, both, _places([*range(half, half + 4)]))
                    _store_part(context, builder, signature.args[0], array, places[row + half], part)
        return context.get_dummy_value()

    return types.none(array, types.intp, types.intp, columns), generate


@intrinsic
def store_pairs(typing, array, n, apart, columns):
    """Eight rows of these two columns."""

    def generate(context, builder, signature, arguments):
        array, n, apart, columns = arguments
        given = [builder.extract_value(columns, column) for column in range(2)]
        places = _apart(builder, n, apart)
        for odd, order in enumerate((EVEN, ODD)):
            rows = builder.shuffle_vector(*given, _places(order))
            for row in range(0, LANES, 2):
                part = builder.shuffle_vector(rows, rows, _places([row, row + 1]))
                _store_part(context, builder, signature.args[0], array, places[row + odd], part)
        return context.get_dummy_value()

    return types.none(array, types.intp, types.intp, columns), generate


def _apart(builder, n, apart):
    """Where eight rows begin."""
    return [builder.add(n, builder.mul(apart, ir.Constant(apart.type, row))) for row in range(LANES)]


@intrinsic
def totals(typing, vectors):
    """The sums of the elements of eight vectors, as a vector: in three steps, each of which joins two vectors in one."""

    def generate(context, builder, signature, arguments):
        vectors = [builder.extract_value(arguments[0], place) for place in range(LANES)]
        for width in (4, 2, 1):  # elements of a vector that have yet to become one
            low = [place for place in range(2 * LANES) if not place & width]
            high = [place | width for place in low]
            vectors = [
                builder.fadd(builder.shuffle_vector(*pair, _places(low)), builder.shuffle_vector(*pair, _places(high)))
                for pair in zip(vectors[0::2], vectors[1::2], strict=True)
            ]
        return vectors[0]

    return VECTOR(types.UniTuple(VECTOR, LANES)), generate


@intrinsic
def all_finite(typing, vector):
    """Whether no element is infinite or NaN."""

    def generate(context, builder, signature, arguments):
        differences = builder.fsub(arguments[0], arguments[0])
        equal = builder.fcmp_ordered("==", differences, differences)
        bits = builder.bitcast(equal, ir.IntType(LANES))
        return builder.icmp_unsigned("==", bits, ir.Constant(bits.type, 2**LANES - 1))

    return types.boolean(VECTOR), generate
