package org.junit

@Target(AnnotationTarget.FUNCTION)
annotation class Test

/** Stands for JUnit's. */
object Assert {
    fun assertEquals(expected: Long, actual: Long) {
        if (expected != actual) throw AssertionError("$actual, expected $expected")
    }

    fun assertTrue(message: String, condition: Boolean) {
        if (!condition) throw AssertionError(message)
    }
}
