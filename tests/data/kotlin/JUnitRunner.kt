package org.junit.runner

import kotlin.reflect.KClass

@Target(AnnotationTarget.CLASS)
annotation class RunWith(val value: KClass<*>)
