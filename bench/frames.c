/* Tells callgrind what to count, and which Python function runs, for bench/costs.py.

   CPython runs a Python function that another one calls within the same C function, so
   callgrind cannot tell them apart.  With a frame evaluation function of one's own (PEP
   523), each call comes through here.  Whenever another function begins or goes on, it
   asks callgrind for a dump under the name of the one that ran; callgrind counts anew
   from there.  What is done here for that is not counted. */

#include <Python.h>
#if PY_VERSION_HEX < 0x030c0000
#define Py_BUILD_CORE
#include <internal/pycore_frame.h>
#endif
#include <valgrind/callgrind.h>

/* How the name of a part ends that began with the call of the function. */
#define CALLED " called"
/* Its own name, for what runs when the counting begins. */
#define BENCH "bench"

static int counts;
static char running[512] = BENCH;

static void note(struct _PyInterpreterFrame *frame)
{
#if PY_VERSION_HEX < 0x030c0000
    PyCodeObject *code = (PyCodeObject *) Py_NewRef(frame->f_code);
#else
    PyCodeObject *code = (PyCodeObject *) PyUnstable_InterpreterFrame_GetCode(frame);
#endif
    snprintf(running, sizeof running, "%.300s:%.100s" CALLED,
             PyUnicode_AsUTF8(code->co_filename), PyUnicode_AsUTF8(code->co_qualname));
    Py_DECREF(code);
}

static PyObject *evaluate(PyThreadState *state, struct _PyInterpreterFrame *frame,
                          int throws)
{
    char before[sizeof running];
    PyObject *result;

    if (!counts)
        return _PyEval_EvalFrameDefault(state, frame, throws);
    CALLGRIND_DUMP_STATS_AT(running);
    CALLGRIND_TOGGLE_COLLECT;
    strcpy(before, running);
    note(frame);
    CALLGRIND_TOGGLE_COLLECT;
    result = _PyEval_EvalFrameDefault(state, frame, throws);
    CALLGRIND_DUMP_STATS_AT(running);
    CALLGRIND_TOGGLE_COLLECT;
    /* It goes on: it is not called again. */
    char *end = strstr(before, CALLED);
    if (end)
        *end = 0;
    strcpy(running, before);
    CALLGRIND_TOGGLE_COLLECT;
    return result;
}

/* Simulates from here on; the caches are empty. */
void simulate(int divides)
{
    if (divides)
        _PyInterpreterState_SetEvalFrameFunc(PyInterpreterState_Get(), evaluate);
    CALLGRIND_STOP_INSTRUMENTATION;
    CALLGRIND_START_INSTRUMENTATION;
}

/* Counts nothing until it is called again, unless it divides by function. */
void pause_or_go_on(void)
{
    if (_PyInterpreterState_GetEvalFrameFunc(PyInterpreterState_Get()) != evaluate)
        CALLGRIND_TOGGLE_COLLECT;
}

void begin(void)
{
    counts = 1;
    CALLGRIND_ZERO_STATS;
}

void end(void)
{
    CALLGRIND_DUMP_STATS_AT(running);
    counts = 0;
    CALLGRIND_STOP_INSTRUMENTATION;
}
